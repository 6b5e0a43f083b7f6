import type { ExecutorContext } from 'nx/src/devkit-exports';
import { logger } from '../../plugin/workspace-nx';
import { targetOf } from '../check-target';
import { runBuild } from './run-build';
import type { BuildExecutorSchema } from './schema';

/** Builds an image. What the user can put right is logged and fails the task; anything else is a bug and throws. */
export default async function buildExecutor(
  options: BuildExecutorSchema,
  context: ExecutorContext,
): Promise<{ success: boolean }> {
  const success = await runBuild(options, context, targetOf(context), {
    info: (text) => logger.info(text),
    warn: (text) => logger.warn(text),
    error: (text) => logger.error(text),
    message: (text) => void process.stderr.write(text),
  });
  return { success };
}
