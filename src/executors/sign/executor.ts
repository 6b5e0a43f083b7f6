import { resolve } from 'node:path';
import { logger } from '../../plugin/logger';
import { IgvmError } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import { shownPath } from '../../files/shown-path';
import { checkTarget, type TargetContext } from '../check-target';
import { type TaskContext, targetOf } from '../tracked-options';
import type { SignExecutorSchema } from './schema';
import { corimSource, idBlockSource } from './sources';

/** Writes a signed copy of an image. What the user can put right is logged and fails the task; anything else is a bug and throws. */
export default async function signExecutor(
  options: SignExecutorSchema,
  context: TargetContext & TaskContext,
): Promise<{ success: boolean }> {
  const { signedPath, signImage } =
    require('../../endorsement/sign-image') as typeof import('../../endorsement/sign-image');
  const { root } = context;
  const at = (path: string): string => resolve(root, path);
  const outputPath = options.outputPath ?? signedPath(options.image);
  const [image, output] = [at(options.image), at(outputPath)];
  try {
    checkTarget(context, targetOf(context), options);
    const idBlock = idBlockSource(options, at);
    const corim = corimSource(options, at);
    if (idBlock === undefined && corim === undefined) {
      throw new IgvmError('SIGN_OPTION', 'there is nothing to sign with');
    }
    if (output === image) {
      throw new IgvmError('SIGN_OPTION', 'the signed image would replace the image', { file: outputPath });
    }
    const manifest = options.manifest === undefined ? undefined : at(options.manifest);
    const { signers } = await signImage({ input: image, output, idBlock, corim, manifest });
    if (idBlock !== undefined && idBlock.kind !== 'outOfBand') {
      logger.warn('the ID block is signed with a temporary key: for development only');
    }
    logger.info([`${printable(outputPath)}: signed`, ...signers.map((each) => `  ${each}`)].join('\n'));
    return { success: true };
  } catch (error) {
    if (!(error instanceof IgvmError)) throw error;
    logger.error(error.format((file) => shownPath(root, file)));
    return { success: false };
  }
}
