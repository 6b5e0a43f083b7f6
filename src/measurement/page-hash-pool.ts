import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { PAGE_SIZE } from '../memory/page';
import { inlineHasher, type PageHasher } from './page-hasher';

/** Stored pages from which on a pool pays for starting its threads: 32 MiB. */
const POOL_THRESHOLD = (32 * 2 ** 20) / PAGE_SIZE;

/** Bytes below which sending pages to a thread costs more than hashing them. */
const SMALLEST_BATCH = 8 * PAGE_SIZE;

/** More threads than this don't help: the chain of digests and the reading stay on one. */
const MAX_THREADS = 4;

/**
 * Runs in a worker thread. As source text, because a file of its own would have another name and language in the
 * published package than under jest.
 */
const WORKER_SOURCE = `
const { parentPort } = require('node:worker_threads');
const { hash } = require('node:crypto');
const PAGE = ${PAGE_SIZE};
const zero = new Uint8Array(PAGE);
const zeroDigest = hash('sha384', zero, 'buffer');
parentPort.on('message', ({ id, pages }) => {
  const digests = new Uint8Array((pages.length / PAGE) * 48);
  for (let at = 0, out = 0; at < pages.length; at += PAGE, out += 48) {
    const page = pages.subarray(at, at + PAGE);
    const isZero = page[0] === 0 && Buffer.compare(page, zero) === 0;
    digests.set(isZero ? zeroDigest : hash('sha384', page, 'buffer'), out);
  }
  parentPort.postMessage({ id, digests });
});
`;

interface Pending {
  resolve(digests: Uint8Array): void;
  reject(error: unknown): void;
}

/**
 * Spreads pages over worker threads, round robin; results keep the order in which their promises were made. The threads
 * keep the process alive only while they work.
 */
export class PageHashPool implements PageHasher {
  private readonly workers: Worker[];
  private readonly pending = new Map<number, Pending>();
  private nextId = 0;
  private failure: unknown;

  constructor(threads: number) {
    this.workers = Array.from({ length: threads }, () => {
      const worker = new Worker(WORKER_SOURCE, { eval: true });
      worker.on('message', ({ id, digests }: { id: number; digests: Uint8Array }) => {
        this.pending.get(id)?.resolve(digests);
        this.pending.delete(id);
        if (this.pending.size === 0) this.workers.forEach((each) => each.unref());
      });
      worker.on('error', (error) => this.fail(error));
      worker.unref();
      return worker;
    });
  }

  hash(pages: Uint8Array): Uint8Array | Promise<Uint8Array> {
    if (pages.length < SMALLEST_BATCH) return inlineHasher.hash(pages);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const id = this.nextId++;
    const worker = this.workers[id % this.workers.length];
    return new Promise((resolve, reject) => {
      if (this.pending.size === 0) this.workers.forEach((each) => each.ref());
      this.pending.set(id, { resolve, reject });
      // A view is cloned with its whole buffer, so what is sent has to be a copy of the pages alone; it is then moved.
      const copy = pages.slice();
      worker?.postMessage({ id, pages: copy }, [copy.buffer]);
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.terminate()));
    this.fail(new Error('the page hash pool is closed'));
  }

  private fail(error: unknown): void {
    this.failure ??= error;
    for (const pending of this.pending.values()) pending.reject(error);
    this.pending.clear();
  }
}

/**
 * The hasher for a guest with `pages` stored pages: a pool when it is large enough and there is a processor to spare.
 * Close it.
 */
export function pageHasherFor(pages: number): PageHasher {
  const threads = Math.min(availableParallelism(), MAX_THREADS);
  return pages < POOL_THRESHOLD || threads < 2 ? inlineHasher : new PageHashPool(threads);
}
