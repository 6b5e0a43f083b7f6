import { asTask } from '../as-task';
import { checkTarget, type TargetContext, targetOf, type TaskContext } from '../check-target';
import type { GroupExecutorSchema } from './schema';

/**
 * Stands for the targets of all images of a project, which it depends on: when it runs, they have run. `nx:noop` would report a success
 * also where a user's `dependsOn` has taken the place of the inferred one, and nothing ran.
 */
export default function groupExecutor(
  options: GroupExecutorSchema,
  context: TargetContext & TaskContext,
): Promise<{ success: boolean }> {
  return asTask(context, async () => {
    checkTarget(context, targetOf(context), options);
    return { success: true };
  });
}
