import { Worker } from 'node:worker_threads';
import { PAGE_SIZE } from '../memory/page';

/** What a thread does with pages; its answer is bytes. */
export type HashJob =
  /** SHA-384 of each page, one digest after the other. */
  | { kind: 'digests'; pages: Uint8Array }
  /** The same, and the pages are added to the thread's SHA-384 of all. */
  | { kind: 'digestsAndAll'; pages: Uint8Array }
  /** Ends the SHA-384 of all pages: the answer. */
  | { kind: 'all'; pages?: undefined }
  /** Extends the thread's chain (page-chain.ts) and answers with its last link. */
  | { kind: 'chain'; head: Uint8Array; count: number; pages: Uint8Array | undefined };

/** Bytes of a head in a chain. */
export const CHAIN_HEAD_SIZE = 32;

/**
 * Runs in a worker thread. As source text, because a file of its own would have another name and language in the
 * published package than under jest.
 */
const WORKER_SOURCE = `
const { parentPort, workerData } = require('node:worker_threads');
const { createHash, hash } = require('node:crypto');
const PAGE = ${PAGE_SIZE};
const HEAD = ${CHAIN_HEAD_SIZE};
const zero = new Uint8Array(PAGE);
const zeroDigest = hash('sha384', zero, 'binary');
const link = Buffer.alloc(32 + HEAD + PAGE);
const view = new DataView(link.buffer, link.byteOffset + 32, HEAD);
const all = createHash('sha384');
const jobs = {
  digests({ pages }) {
    const digests = Buffer.from(new ArrayBuffer((pages.length / PAGE) * 48));
    for (let at = 0, out = 0; at < pages.length; at += PAGE, out += 48) {
      const page = pages.subarray(at, at + PAGE);
      const isZero = page[0] === 0 && Buffer.compare(page, zero) === 0;
      digests.write(isZero ? zeroDigest : hash('sha384', page, 'binary'), out, 48, 'latin1');
    }
    return digests;
  },
  digestsAndAll({ pages }) {
    all.update(pages);
    return jobs.digests({ pages });
  },
  all: () => new Uint8Array(all.digest()),
  chain({ head, count, pages }) {
    link.set(head, 32);
    const first = view.getBigUint64(HEAD - 8, true);
    if (pages === undefined) link.fill(0, 32 + HEAD);
    for (let page = 0; page < count; page++) {
      view.setBigUint64(HEAD - 8, first + BigInt(page), true);
      if (pages !== undefined) link.set(pages.subarray(page * PAGE, (page + 1) * PAGE), 32 + HEAD);
      link.write(hash('sha256', link, 'binary'), 0, 32, 'latin1');
    }
    return new Uint8Array(link.subarray(0, 32));
  },
};
parentPort.on('message', (job) => {
  const answer = jobs[job.kind](job);
  Atomics.add(workerData, 0, 1);
  parentPort.postMessage(answer, [answer.buffer]);
});
`;

/** Megabytes of JavaScript objects: a thread holds a digest or two, and without a limit grows before it collects. */
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
    this.worker = new Worker(WORKER_SOURCE, {
      eval: true,
      workerData: this.done,
      resourceLimits: HEAP_LIMITS,
      // Of the user's: what they have Node load first (tracing, a compiler) need not fit into so small a heap.
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

  /** Jobs that the thread has not finished, as of now: answers may be on their way. */
  get waiting(): number {
    return this.sent - Atomics.load(this.done, 0);
  }

  /** Pages may be reused when the answer is there. They are not copied when they lie in shared memory. */
  run(job: HashJob): Promise<Uint8Array> {
    if (this.failure !== undefined) return Promise.reject(this.failure.error);
    return new Promise((resolve, reject) => {
      if (this.pending.length === 0) this.worker.ref();
      this.pending.push({ resolve, reject });
      this.sent++;
      if (job.pages === undefined || job.pages.buffer instanceof SharedArrayBuffer) this.worker.postMessage(job);
      else {
        // A view is cloned with its whole buffer, so what is sent has to be a copy of the pages alone; it is then moved.
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
