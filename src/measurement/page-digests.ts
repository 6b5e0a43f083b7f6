import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { HashThread } from './hash-thread';
import { THREAD_THRESHOLD } from './page-hash-pool';
import { inlineHasher } from './page-hasher';

/** SHA-384 of each page, and of all pages together in the order of the calls. */
export interface PageDigests {
  /**
   * The digests of whole pages, one after the other. The pages may be reused when the digests are there; the next call need
   * not wait for them.
   */
  add(pages: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** The digest of all pages so far together; the last call but {@link close}. */
  end(): Promise<Uint8Array>;
  close(): Promise<void>;
}

class InlineDigests implements PageDigests {
  private readonly all = createHash('sha384');

  add(pages: Uint8Array): Uint8Array | Promise<Uint8Array> {
    this.all.update(pages);
    return inlineHasher.hash(pages);
  }

  async end(): Promise<Uint8Array> {
    return this.all.digest();
  }

  async close(): Promise<void> {}
}

/** In a thread, which is started with the first pages: that comes after everything that a user may have done wrong. */
class ThreadDigests implements PageDigests {
  private thread: HashThread | undefined;

  add(pages: Uint8Array): Promise<Uint8Array> {
    this.thread ??= new HashThread();
    return this.thread.run({ kind: 'digestsAndAll', pages });
  }

  async end(): Promise<Uint8Array> {
    this.thread ??= new HashThread();
    return this.thread.run({ kind: 'all' });
  }

  async close(): Promise<void> {
    await this.thread?.close();
  }
}

/** For a guest with `pages` such pages: in a thread when there are many and there is a processor to spare. Close it. */
export function pageDigestsFor(pages: number): PageDigests {
  return pages < THREAD_THRESHOLD || availableParallelism() < 2 ? new InlineDigests() : new ThreadDigests();
}
