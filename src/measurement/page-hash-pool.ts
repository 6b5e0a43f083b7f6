import { availableParallelism } from 'node:os';
import { PAGE_SIZE } from '../memory/page';
import { HashThread } from './hash-thread';
import { inlineHasher, type PageHasher } from './page-hasher';

/** Stored pages from which on it pays to start threads: 32 MiB. */
export const THREAD_THRESHOLD = (32 * 2 ** 20) / PAGE_SIZE;

/** Bytes below which sending pages to a thread costs more than hashing them. */
const SMALLEST_BATCH = 8 * PAGE_SIZE;

/** More threads than this don't help: the chain of digests and the reading stay on the calling one. */
const MOST_THREADS = 3;

/** Batches that a thread has at hand: it should find the next one when it is done with one. */
const MOST_WAITING = 2;

/**
 * Spreads pages over worker threads; when all have enough to do the calling thread hashes, too. They are started with the first
 * pages: what fails before leaves none behind.
 */
export class PageHashPool implements PageHasher {
  private readonly threads: HashThread[] = [];

  constructor(private readonly size: number) {}

  hash(pages: Uint8Array): Uint8Array | Promise<Uint8Array> {
    const thread = pages.length < SMALLEST_BATCH ? undefined : this.leastBusy();
    return thread === undefined ? inlineHasher.hash(pages) : thread.run({ kind: 'digests', pages });
  }

  async close(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.close()));
  }

  private leastBusy(): HashThread | undefined {
    while (this.threads.length < this.size) this.threads.push(new HashThread());
    let least: HashThread | undefined;
    let waiting = MOST_WAITING;
    for (const thread of this.threads) {
      if (thread.waiting >= waiting) continue;
      least = thread;
      waiting = thread.waiting;
    }
    return least;
  }
}

/**
 * The hasher for a guest with `pages` stored pages: a pool when it is large enough and there is a processor to spare.
 * Close it.
 */
export function pageHasherFor(pages: number): PageHasher {
  const threads = Math.min(availableParallelism() - 1, MOST_THREADS);
  return pages < THREAD_THRESHOLD || threads < 1 ? inlineHasher : new PageHashPool(threads);
}
