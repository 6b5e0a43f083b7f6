/** Runs in a worker thread: builds the images that it is sent, one after the other. */
import { parentPort, workerData } from 'node:worker_threads';
import type { BuildExecutorSchema } from './schema';
import { type BatchContext, buildTask } from './task-result';

parentPort?.on('message', (options: BuildExecutorSchema) => {
  void buildTask(options, workerData as BatchContext).then((result) => parentPort?.postMessage(result));
});
