/** Runs in a worker thread: builds the images that it is sent, one after the other. */
import { parentPort, workerData } from 'node:worker_threads';
import { type BatchContext, type BatchTask, buildTask } from './run-build';

parentPort?.on('message', (task: BatchTask) => {
  void buildTask(task, workerData as BatchContext).then((result) => parentPort?.postMessage(result));
});
