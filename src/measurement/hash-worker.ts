/** Runs in a worker thread: hashes the pages that it is sent. page-hashing.ts starts it. */
import { createHash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { HashChain, hashPages } from './page-hashing';

/** What a thread does with pages; its answer is bytes. */
export type HashJob =
  /** SHA-384 of each page, one digest after the other. */
  | { kind: 'digests'; pages: Uint8Array }
  /** The same, and adds the pages to the thread's SHA-384 of all pages. */
  | { kind: 'digestsAndAll'; pages: Uint8Array }
  /** Ends the SHA-384 of all pages: the answer. */
  | { kind: 'all'; pages?: undefined }
  /** Extends the thread's chain; the answer is its last link. */
  | { kind: 'chain'; head: Uint8Array; count: number; pages: Uint8Array | undefined };

const all = createHash('sha384');
const chain = new HashChain();

function answerTo(job: HashJob): Uint8Array<ArrayBuffer> {
  switch (job.kind) {
    case 'digests':
      return hashPages(job.pages);
    case 'digestsAndAll':
      all.update(job.pages);
      return hashPages(job.pages);
    case 'all':
      return new Uint8Array(all.digest());
    case 'chain':
      chain.extend(job.head, job.count, job.pages);
      return chain.last();
  }
}

/** How many jobs are done. The other thread can read this before the answers arrive. */
const done = workerData as Int32Array;

parentPort?.on('message', (job: HashJob) => {
  const answer = answerTo(job);
  Atomics.add(done, 0, 1);
  parentPort?.postMessage(answer, [answer.buffer]);
});
