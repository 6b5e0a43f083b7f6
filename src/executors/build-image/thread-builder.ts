import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { BatchContext, BatchTask, TaskResult } from './run-build';

/** Builds images on a thread of its own, one at a time. Close it. */
export class ThreadBuilder {
  private readonly worker: Worker;
  private settle: ((result: TaskResult) => void) | undefined;
  private failure: string | undefined;

  constructor(context: BatchContext) {
    const { root, projectGraph, nxJsonConfiguration, taskGraph } = context;
    this.worker = new Worker(join(__dirname, 'build-thread.js'), {
      workerData: { root, projectGraph, nxJsonConfiguration, taskGraph },
    });
    this.worker.on('message', (result: TaskResult) => this.answer(result));
    this.worker.on('error', (error: Error) => this.fail(error.stack ?? error.message));
    this.worker.on('exit', () => this.fail('the thread that built this image has ended'));
  }

  /** Whether the thread has died: it builds nothing more. */
  get isDead(): boolean {
    return this.failure !== undefined;
  }

  /** Never rejects; a thread that dies fails the image that it was building. */
  build(task: BatchTask): Promise<TaskResult> {
    return new Promise((resolve) => {
      this.settle = resolve;
      if (this.failure === undefined) this.worker.postMessage(task);
      else this.fail(this.failure);
    });
  }

  async close(): Promise<void> {
    await this.worker.terminate();
  }

  private fail(reason: string): void {
    this.failure ??= reason;
    this.answer({ success: false, terminalOutput: `${this.failure}\n` });
  }

  private answer(result: TaskResult): void {
    this.settle?.(result);
    this.settle = undefined;
  }
}
