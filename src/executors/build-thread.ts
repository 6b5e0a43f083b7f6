import { join } from 'node:path';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { type BuildContext, type BuildTaskOptions, runBuild } from './build';
import type { TaskTarget } from './check-target';

/** The result that Nx expects of one task of a batch. */
export interface BatchTaskResult {
  success: boolean;
  /** Shown under the task's name, and replayed from the cache. */
  terminalOutput: string;
  /** Milliseconds since 1970. */
  startTime?: number;
  endTime?: number;
  /** `skipped` when the task was never begun. */
  status?: 'success' | 'failure' | 'skipped';
}

export const SKIPPED: BatchTaskResult = { success: false, status: 'skipped', terminalOutput: '' };

/** One image of a batch. It can be sent to a thread. */
export interface BatchTask {
  options: BuildTaskOptions;
  target: TaskTarget;
}

/** Builds one image of a batch. Never rejects: even a bug must not fail the other images. */
export async function buildTask({ options, target }: BatchTask, context: BuildContext): Promise<BatchTaskResult> {
  const startTime = Date.now();
  const output: string[] = [];
  const line = (text: string): void => void output.push(text, '\n');
  const log = { info: line, warn: line, error: line, message: (text: string) => void output.push(text) };
  let success = false;
  try {
    ({ success } = await runBuild(options, context, target, log));
  } catch (bug) {
    line(bug instanceof Error ? (bug.stack ?? bug.message) : String(bug));
  }
  return { success, terminalOutput: output.join(''), startTime, endTime: Date.now() };
}

/** Builds images one at a time on a thread of its own. Must be closed. */
export class ThreadBuilder {
  private readonly worker: Worker;
  private settle: ((result: BatchTaskResult) => void) | undefined;
  private failure: string | undefined;

  constructor(context: BuildContext) {
    const { root, projectGraph, nxJsonConfiguration, taskGraph } = context;
    this.worker = new Worker(join(__dirname, 'build-thread.js'), {
      workerData: { root, projectGraph, nxJsonConfiguration, taskGraph },
    });
    this.worker.on('message', (result: BatchTaskResult) => this.answer(result));
    this.worker.on('error', (error: Error) => this.fail(error.stack ?? error.message));
    this.worker.on('exit', () => this.fail('the thread that built this image has ended'));
  }

  /** Whether the thread has died. It builds no more images. */
  get isDead(): boolean {
    return this.failure !== undefined;
  }

  /** Never rejects. If the thread dies, the image that it was building fails. */
  build(task: BatchTask): Promise<BatchTaskResult> {
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

  private answer(result: BatchTaskResult): void {
    this.settle?.(result);
    this.settle = undefined;
  }
}

// In the thread itself: builds the images that it is sent, one after the other.
if (workerData !== null && typeof workerData === 'object' && 'taskGraph' in workerData) {
  const context = workerData as BuildContext;
  parentPort?.on('message', (task: BatchTask) => {
    void buildTask(task, context).then((result) => parentPort?.postMessage(result));
  });
}
