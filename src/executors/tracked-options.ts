import { resolve } from 'node:path';
import type { ExecutorContext } from 'nx/src/devkit-exports';
import { IgvmError } from '../errors/igvm-error';

/** Which task runs. */
export interface TaskTarget {
  project: string;
  target: string;
  configuration?: string;
}

/** What Nx says of a task. */
export type TaskContext = Partial<Pick<ExecutorContext, 'projectName' | 'targetName' | 'configurationName'>>;

/** The task of an executor, as far as Nx says. */
export function targetOf(context: TaskContext): TaskTarget | undefined {
  const { projectName: project, targetName: target, configurationName: configuration } = context;
  return project === undefined || target === undefined ? undefined : { project, target, configuration };
}

/**
 * Refuses files that only the command line names. Nx hashes such an option but not what the file holds, so a cacheable
 * target would go on getting the old output when the file changes.
 * @param names of the options that name files
 * @throws IgvmError NX_OPTION_UNTRACKED
 */
export function checkTrackedOptions(
  { root, projectGraph }: Pick<ExecutorContext, 'root'> & Partial<Pick<ExecutorContext, 'projectGraph'>>,
  task: TaskTarget | undefined,
  options: object,
  names: readonly string[],
): void {
  const target = task === undefined ? undefined : projectGraph?.nodes[task.project]?.data.targets?.[task.target];
  if (target?.cache !== true) return;
  const configured: Record<string, unknown> = {
    ...target.options,
    ...(task?.configuration === undefined ? {} : target.configurations?.[task.configuration]),
  };
  const values = options as Record<string, unknown>;
  for (const name of names) {
    const [given, own] = [values[name], configured[name]];
    if (typeof given !== 'string' || (typeof own === 'string' && resolve(root, own) === resolve(root, given))) continue;
    throw new IgvmError('NX_OPTION_UNTRACKED', `Nx would not see changes of a file that only --${name}=${given} names`);
  }
}
