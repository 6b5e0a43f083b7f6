import type { ExecutorContext } from 'nx/src/devkit-exports';
import type { TargetContext } from '../check-target';
import type { TaskTarget } from '../tracked-options';
import { runBuild } from './run-build';
import type { BuildExecutorSchema } from './schema';

/** What Nx is told of one task of a batch. */
export interface TaskResult {
  success: boolean;
  /** Shown under the task's name, and replayed from the cache. */
  terminalOutput: string;
  /** Milliseconds since 1970. */
  startTime?: number;
  endTime?: number;
  /** `skipped` when the task was never begun. */
  status?: 'success' | 'failure' | 'skipped';
}

export const SKIPPED: TaskResult = { success: false, status: 'skipped', terminalOutput: '' };

/** What builds need of the executor's context; it can be sent to a thread. */
export type BatchContext = TargetContext & Pick<ExecutorContext, 'projectGraph'>;

/** One image of a batch; it can be sent to a thread. */
export interface BatchTask {
  options: BuildExecutorSchema;
  target: TaskTarget;
}

/** Builds one image of a batch. Never rejects: even a bug must not take the other images along. */
export async function buildTask({ options, target }: BatchTask, context: BatchContext): Promise<TaskResult> {
  const startTime = Date.now();
  const output: string[] = [];
  const line = (text: string): void => void output.push(text, '\n');
  const log = { info: line, warn: line, error: line, message: (text: string) => void output.push(text) };
  let success = false;
  try {
    success = await runBuild(options, context, target, log);
  } catch (bug) {
    line(bug instanceof Error ? (bug.stack ?? bug.message) : String(bug));
  }
  return { success, terminalOutput: output.join(''), startTime, endTime: Date.now() };
}
