import { relative, resolve, sep } from 'node:path';
import { type ExecutorContext, logger } from '@nx/devkit';
import { IgvmError } from '../../errors/igvm-error';
import type { VerifyExecutorSchema } from './schema';

/** Checks an image against its lock. What the user can put right is logged and fails the task; anything else is a bug and throws. */
export default async function verifyExecutor(
  { image, lock }: VerifyExecutorSchema,
  { root }: Pick<ExecutorContext, 'root'>,
): Promise<{ success: boolean }> {
  const { verifyImage, verifyText } = require('../../api') as typeof import('../../api');
  const display = (path: string): string => relative(root, path).split(sep).join('/');
  try {
    const report = await verifyImage({ image: resolve(root, image), lock: resolve(root, lock), display });
    const text = verifyText(report);
    if (report.differences.length === 0) {
      logger.info(`${image}: ${text}`);
      return { success: true };
    }
    logger.error(text);
    throw new IgvmError('LOCK_MISMATCH', `the image measures differently than ${lock} says`, { file: image });
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    logger.error(error.format());
    return { success: false };
  }
}
