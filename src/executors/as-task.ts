import { resolve } from 'node:path';
import type { Caller } from '../cli/caller';
import { IgvmError } from '../errors/igvm-error';
import { shownPath } from '../files/file-failure';
import type { GuardedKey } from '../plugin/effective-target';
import { IMAGE_TARGETS } from '../plugin/inferred-targets';
import { asRecord } from '../manifest/image-files';
import { logger } from '../plugin/workspace-nx';
import type { TargetContext, TaskContext } from './check-target';

/** The result that Nx expects of an executor. */
export interface TaskResult {
  success: boolean;
}

/** Options that every executor of inferred targets has besides those of its command. */
export interface TargetOptions {
  ownKeys?: GuardedKey[];
}

/** Where the texts of a task go. */
export interface TaskLog {
  /** These take lines, without the last newline. */
  readonly info: (text: string) => void;
  readonly warn: (text: string) => void;
  readonly error: (text: string) => void;
  /** Takes messages of another program, in pieces of any length. */
  readonly message: (text: string) => void;
}

const NX_LOG: TaskLog = {
  info: (text) => logger.info(text),
  warn: (text) => logger.warn(text),
  error: (text) => logger.error(text),
  message: (text) => void process.stderr.write(text),
};

/** A task of Nx as the caller of a command. Messages name paths from the workspace's root, and options as a target has them. */
const taskCaller = (root: string, { info, warn, message }: TaskLog): Caller => ({
  folder: root,
  at: (path) => resolve(root, path),
  display: (path) => shownPath(root, resolve(root, path)),
  nameOf: (option) => option,
  write: (text) => void process.stdout.write(text),
  info,
  warn,
  note: info,
  message,
  isInteractive: process.stderr.isTTY === true,
});

/**
 * Does the work of an executor. A failure that the user can correct is logged and fails the task. Any other error is a bug and
 * is thrown.
 * @param work may return false for a task that fails and has reported the reason
 * @param lock the lock that errors may be about
 */
export async function asTask(
  context: TaskContext & TargetContext,
  work: (caller: Caller) => Promise<boolean | void>,
  { lock, log = NX_LOG }: { lock?: string; log?: TaskLog } = {},
): Promise<TaskResult> {
  const caller = taskCaller(context.root, log);
  try {
    return { success: (await work(caller)) !== false };
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    log.error(withTaskNames(error.format(caller.display), context, lock));
    return { success: false };
  }
}

/**
 * The message of an error whose cure names the task's own project and target instead of PROJECT.
 * @param lock the lock that the message is about
 */
function withTaskNames(text: string, context: TaskContext & TargetContext, lock?: string): string {
  const { projectName: project } = context;
  if (project === undefined) return text;
  const targets = Object.entries(context.projectGraph?.nodes[project]?.data.targets ?? {});
  const measures = targets.filter(([, { executor }]) => executor === IMAGE_TARGETS.measure.executor);
  const [name = 'measure'] =
    measures.find(([, { options }]) => asRecord(options)['lock'] === lock) ?? measures[0] ?? [];
  return text.replaceAll('PROJECT:measure', `${project}:${name}`);
}
