import { IgvmError } from '../errors/igvm-error';
import { shownPath } from '../files/file-failure';
import { IMAGE_TARGETS } from '../plugin/image-targets';
import { asRecord } from '../plugin/inferred-image';
import { logger } from '../plugin/workspace-nx';
import type { TargetContext, TaskContext } from './check-target';

/**
 * Does the work of an executor. What the user can put right is logged and fails the task; anything else is a bug and throws.
 * @param lock the lock that errors may be about
 */
export async function asTask(
  context: TaskContext & TargetContext,
  work: () => Promise<{ success: boolean }>,
  lock?: string,
): Promise<{ success: boolean }> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    const text = error.format((file) => shownPath(context.root, file));
    logger.error(withTaskNames(text, context, lock));
    return { success: false };
  }
}

/**
 * A message of an error with the task's own names in the place of PROJECT in its cure.
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
