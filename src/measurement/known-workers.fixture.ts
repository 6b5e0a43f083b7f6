import type * as WorkerThreads from 'node:worker_threads';

/** Every worker that was started since the array was last emptied. */
export const knownWorkers: WorkerThreads.Worker[] = [];

/** `node:worker_threads` for `jest.mock`, with workers that are known. */
export function knownWorkerThreads(): typeof WorkerThreads {
  const real = jest.requireActual<typeof WorkerThreads>('node:worker_threads');
  class KnownWorker extends real.Worker {
    constructor(...parameters: ConstructorParameters<typeof WorkerThreads.Worker>) {
      super(...parameters);
      knownWorkers.push(this);
    }
  }
  return { ...real, Worker: KnownWorker };
}
