import { hash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { SHA256_SIZE } from '../igvm/hashes';
import { PAGE_SIZE } from '../memory/page';
import { CHAIN_HEAD_SIZE, HashThread } from './hash-thread';
import { THREAD_THRESHOLD } from './page-hash-pool';

const PAGE_NUMBER_OFFSET = CHAIN_HEAD_SIZE - 8;

/** A chain of SHA-256: each link covers the one before, a head and a page. Links can't be made side by side. */
export interface PageChain {
  /**
   * Adds links for `count` adjacent pages, or pages of zeros. The last eight bytes of the head are the number of the first
   * page. The pages may be reused when the promise settles; the next call need not wait for it.
   */
  extend(head: Uint8Array, count: number, pages: Uint8Array | undefined): void | Promise<void>;
  /** The last link. */
  end(): Promise<Uint8Array>;
  close(): Promise<void>;
}

class InlineChain implements PageChain {
  private readonly link = Buffer.from(new ArrayBuffer(SHA256_SIZE + CHAIN_HEAD_SIZE + PAGE_SIZE));
  private readonly head = new DataView(this.link.buffer, SHA256_SIZE, CHAIN_HEAD_SIZE);

  extend(head: Uint8Array, count: number, pages: Uint8Array | undefined): void {
    const contents = SHA256_SIZE + CHAIN_HEAD_SIZE;
    this.link.set(head, SHA256_SIZE);
    const first = this.head.getBigUint64(PAGE_NUMBER_OFFSET, true);
    if (pages === undefined) this.link.fill(0, contents);
    for (let page = 0; page < count; page++) {
      this.head.setBigUint64(PAGE_NUMBER_OFFSET, first + BigInt(page), true);
      if (pages !== undefined) this.link.set(pages.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE), contents);
      this.link.write(hash('sha256', this.link, 'binary'), 0, SHA256_SIZE, 'latin1');
    }
  }

  async end(): Promise<Uint8Array> {
    return new Uint8Array(this.link.subarray(0, SHA256_SIZE));
  }

  async close(): Promise<void> {}
}

/** In a thread, beside the reading and writing. It is started with the first pages: what fails before leaves none behind. */
class ThreadChain implements PageChain {
  private thread: HashThread | undefined;
  private last: Promise<Uint8Array> = Promise.resolve(new Uint8Array(SHA256_SIZE));

  extend(head: Uint8Array, count: number, pages: Uint8Array | undefined): Promise<void> {
    this.thread ??= new HashThread();
    this.last = this.thread.run({ kind: 'chain', head, count, pages });
    // A failure fails all that follows, so that `end` reports it.
    return this.last.then(
      () => undefined,
      () => undefined,
    );
  }

  async end(): Promise<Uint8Array> {
    return this.last;
  }

  async close(): Promise<void> {
    await this.thread?.close();
  }
}

/** The chain for a guest with `pages` stored pages: in a thread when it is long and there is a processor to spare. Close it. */
export function pageChainFor(pages: number): PageChain {
  return pages < THREAD_THRESHOLD || availableParallelism() < 2 ? new InlineChain() : new ThreadChain();
}
