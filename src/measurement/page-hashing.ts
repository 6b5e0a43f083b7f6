import { createHash, hash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { programFile } from '../files/program-file';
import { SHA256_SIZE, SHA384_SIZE } from '../igvm/hashes';
import { PAGE_SIZE } from '../memory/page';
import type { HashJob } from './hash-worker';

/** Hashes many pages at once, on this thread or on others. */
export interface PageHasher {
  /**
   * SHA-384 of each page, one digest after the other. `pages` are whole pages; the buffer may be reused once the result
   * is available. Several calls may be pending.
   */
  hash(pages: Uint8Array): Uint8Array | Promise<Uint8Array>;
  close(): Promise<void>;
}

const ZERO_PAGE = new Uint8Array(PAGE_SIZE);

/** SHA-384 of a page of zeros, which is also used for an empty page. */
export const ZERO_PAGE_DIGEST: Uint8Array = hash('sha384', ZERO_PAGE, 'buffer');

/** SHA-384 of each of some whole pages, one digest after the other, in a new buffer. */
export function hashPages(pages: Uint8Array): Buffer<ArrayBuffer> {
  const digests = Buffer.from(new ArrayBuffer((pages.length / PAGE_SIZE) * SHA384_SIZE));
  for (let at = 0, out = 0; at < pages.length; at += PAGE_SIZE, out += SHA384_SIZE) {
    const page = pages.subarray(at, at + PAGE_SIZE);
    const isZero = page[0] === 0 && Buffer.compare(page, ZERO_PAGE) === 0;
    if (isZero) digests.set(ZERO_PAGE_DIGEST, out);
    else digests.write(hash('sha384', page, 'binary'), out, SHA384_SIZE, 'latin1');
  }
  return digests;
}

/** Hashes on the calling thread. */
export const inlineHasher: PageHasher = {
  hash: hashPages,
  async close() {},
};

/** Bytes of a head in a chain. Its last eight bytes are a page number. */
export const CHAIN_HEAD_SIZE = 32;

const PAGE_NUMBER_OFFSET = CHAIN_HEAD_SIZE - 8;

/** A chain of SHA-256: each link covers the previous link, a head and a page. Links can't be computed in parallel. */
export class HashChain {
  private readonly link = Buffer.from(new ArrayBuffer(SHA256_SIZE + CHAIN_HEAD_SIZE + PAGE_SIZE));
  private readonly head = new DataView(this.link.buffer, SHA256_SIZE, CHAIN_HEAD_SIZE);

  /**
   * Adds links for `count` adjacent pages, or for pages of zeros if `pages` is undefined. The head holds the number of
   * the first page.
   */
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

  /** The last link; zeros before the first. */
  last(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.link.subarray(0, SHA256_SIZE));
  }
}

/**
 * Limits of a thread's JavaScript heap. It holds only a digest or two, but without a limit it would grow before it is
 * collected.
 */
const HEAP_LIMITS = { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2 };

interface Pending {
  resolve(answer: Uint8Array): void;
  reject(error: unknown): void;
}

/** A worker thread that hashes; jobs are done one after the other. It keeps the process alive only while it works. */
export class HashThread {
  private readonly worker: Worker;
  private readonly done = new Int32Array(new SharedArrayBuffer(4));
  private readonly pending: Pending[] = [];
  private sent = 0;
  private failure: { error: unknown } | undefined;

  constructor() {
    this.worker = new Worker(programFile(__dirname, 'hash-worker'), {
      workerData: this.done,
      resourceLimits: HEAP_LIMITS,
      // Without the user's options: modules that they preload (tracing, a compiler) may not fit into such a small heap.
      execArgv: [],
      env: {},
    });
    this.worker.on('message', (answer: Uint8Array) => {
      this.pending.shift()?.resolve(answer);
      if (this.pending.length === 0) this.worker.unref();
    });
    this.worker.on('error', (error) => this.fail(error));
    this.worker.unref();
  }

  /** Jobs that the thread has not finished yet. Answers to finished ones may not have arrived. */
  get waiting(): number {
    return this.sent - Atomics.load(this.done, 0);
  }

  /** The pages may be reused once the answer has arrived. Pages in shared memory are not copied. */
  run(job: HashJob): Promise<Uint8Array> {
    if (this.failure !== undefined) return Promise.reject(this.failure.error);
    return new Promise((resolve, reject) => {
      if (this.pending.length === 0) this.worker.ref();
      this.pending.push({ resolve, reject });
      this.sent++;
      if (job.pages === undefined || job.pages.buffer instanceof SharedArrayBuffer) this.worker.postMessage(job);
      else {
        // Sending a view clones its whole buffer, so only the pages are copied; the copy is then transferred.
        const pages = job.pages.slice();
        this.worker.postMessage({ ...job, pages }, [pages.buffer]);
      }
    });
  }

  async close(): Promise<void> {
    await this.worker.terminate();
    this.fail(new Error('the hash thread is closed'));
  }

  private fail(error: unknown): void {
    this.failure ??= { error };
    for (const pending of this.pending.splice(0)) pending.reject(error);
  }
}

/** Number of stored pages from which threads pay off: 32 MiB. */
export const THREAD_THRESHOLD = (32 * 2 ** 20) / PAGE_SIZE;

/** Bytes below which sending pages to a thread costs more than hashing them. */
const SMALLEST_BATCH = 8 * PAGE_SIZE;

/** More threads don't help: reading and the chain of digests stay on the calling thread. */
const MOST_THREADS = 3;

/** Most batches that wait for a thread: it should find the next one when it finishes one. */
const MOST_WAITING = 2;

/**
 * Spreads pages over worker threads. When all are busy, the calling thread hashes as well. The threads are started with
 * the first pages: an earlier failure leaves none behind.
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
 * The hasher for a guest with `pages` stored pages: a pool if the guest is large enough and a processor is free. The
 * caller has to close it.
 */
export function pageHasherFor(pages: number): PageHasher {
  const threads = Math.min(availableParallelism() - 1, MOST_THREADS);
  return pages < THREAD_THRESHOLD || threads < 1 ? inlineHasher : new PageHashPool(threads);
}

/** SHA-384 of each page, and of all pages together in the order of the calls. */
export interface PageDigests {
  /**
   * The digests of whole pages, one after the other. The pages may be reused once the digests are available; the next
   * call need not wait for them.
   */
  add(pages: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** The digest of all pages together. The last call before {@link close}. */
  end(): Promise<Uint8Array>;
  close(): Promise<void>;
}

class InlineDigests implements PageDigests {
  private readonly all = createHash('sha384');

  add(pages: Uint8Array): Uint8Array {
    this.all.update(pages);
    return hashPages(pages);
  }

  async end(): Promise<Uint8Array> {
    return this.all.digest();
  }

  async close(): Promise<void> {}
}

/** On a thread that is started with the first pages: by then, all mistakes of a user have been reported. */
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

/**
 * The digests of `pages` pages of a guest: on a thread if there are many and a processor is free. The caller
 * has to close it.
 */
export function pageDigestsFor(pages: number): PageDigests {
  return pages < THREAD_THRESHOLD || availableParallelism() < 2 ? new InlineDigests() : new ThreadDigests();
}

/** A {@link HashChain} on this thread or another. */
export interface PageChain {
  /**
   * Adds links for `count` adjacent pages, or for pages of zeros if `pages` is undefined. The last eight bytes of the
   * head are the number of the first page. The pages may be reused when the promise settles; the next call need not
   * wait for it.
   */
  extend(head: Uint8Array, count: number, pages: Uint8Array | undefined): void | Promise<void>;
  /** The last link. */
  end(): Promise<Uint8Array>;
  close(): Promise<void>;
}

class InlineChain implements PageChain {
  private readonly chain = new HashChain();

  extend(head: Uint8Array, count: number, pages: Uint8Array | undefined): void {
    this.chain.extend(head, count, pages);
  }

  async end(): Promise<Uint8Array> {
    return this.chain.last();
  }

  async close(): Promise<void> {}
}

/**
 * On a thread, in parallel with reading and writing. It is started with the first pages: an earlier failure leaves none
 * behind.
 */
class ThreadChain implements PageChain {
  private thread: HashThread | undefined;
  private last: Promise<Uint8Array> = Promise.resolve(new Uint8Array(SHA256_SIZE));

  extend(head: Uint8Array, count: number, pages: Uint8Array | undefined): Promise<void> {
    this.thread ??= new HashThread();
    this.last = this.thread.run({ kind: 'chain', head, count, pages });
    // A failure also fails all later links, so that `end` reports it.
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

/**
 * The chain for a guest with `pages` stored pages: on a thread if it is long and a processor is free. The caller has to
 * close it.
 */
export function pageChainFor(pages: number): PageChain {
  return pages < THREAD_THRESHOLD || availableParallelism() < 2 ? new InlineChain() : new ThreadChain();
}
