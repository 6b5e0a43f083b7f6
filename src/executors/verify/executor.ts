import { resolve } from 'node:path';
import type { ExecutorContext } from 'nx/src/devkit-exports';
import { logger } from '../../plugin/workspace-nx';
import { IgvmError } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import { shownPath } from '../../files/file-failure';
import { asTask } from '../as-task';
import { checkTarget, checkTrackedOptions, targetOf } from '../check-target';
import type { VerifyExecutorSchema } from './schema';

/** Checks an image against its lock. */
export default async function verifyExecutor(
  options: VerifyExecutorSchema,
  context: ExecutorContext,
): Promise<{ success: boolean }> {
  const { image, lock } = options;
  const { root } = context;
  const { mismatchText, verifyImage, verifyText } =
    require('../../lock/verify-image') as typeof import('../../lock/verify-image');
  const display = (path: string): string => shownPath(root, resolve(root, path));
  return asTask(
    context,
    async () => {
      checkTrackedOptions(context, targetOf(context), options, ['image', 'lock']);
      checkTarget(context, targetOf(context), options);
      const report = await verifyImage({ image: resolve(root, image), lock: resolve(root, lock), display });
      const text = verifyText(report);
      if (report.differences.length === 0) {
        logger.info(`${printable(image)}: ${text}`);
        return { success: true };
      }
      logger.error(text);
      throw new IgvmError('LOCK_MISMATCH', mismatchText(report, lock), { file: image });
    },
    lock,
  );
}
