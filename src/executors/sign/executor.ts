import { resolve } from 'node:path';
import type { SignatureOptions } from '../../endorsement/corim-signature';
import type { CorimSignatureSource, SnpIdBlockSource } from '../../endorsement/sign-image';
import { IgvmError } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import { logger } from '../../plugin/workspace-nx';
import { asTask } from '../as-task';
import { checkTarget, type TargetContext, targetOf, type TaskContext, type TaskTarget } from '../check-target';
import type { SignExecutorSchema } from './schema';

/** Writes a signed copy of an image. */
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
  return asTask(context, async () => {
    checkTarget(context, targetOf(context), options);
    const idBlock = idBlockSource(options, at);
    const corim = corimSource(options, at);
    if (idBlock === undefined && corim === undefined) {
      throw nothingToSignWith(options, targetOf(context));
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
  });
}

/** Says what to give, by the names that the image's files have. */
function nothingToSignWith({ image, manifest }: SignExecutorSchema, task: TaskTarget | undefined): IgvmError {
  const nx = task === undefined ? 'nx sign PROJECT' : `nx run ${task.project}:${task.target}`;
  const temporary = `${nx} --temporaryKey${manifest === undefined ? ' --guestSvn=NUMBER' : ''}`;
  const idBlock = printable(image.replace(/\.igvm$/, '-snp.idblock'));
  return usage(
    `there is nothing to sign with. For development: ${temporary}; for a key of yours, ${idBlock} is what it has to sign`,
  );
}

const usage = (message: string): IgvmError => new IgvmError('SIGN_OPTION', message);

/** Where the ID block comes from; undefined when none is wanted. @throws IgvmError SIGN_OPTION */
export function idBlockSource(options: SignExecutorSchema, at: (path: string) => string): SnpIdBlockSource | undefined {
  const { idBlock, idSignature, idPublicKey, temporaryKey = false, manifest, guestSvn } = options;
  const given = [idBlock, idSignature, idPublicKey].filter((path) => path !== undefined);
  if (given.length > 0) {
    if (temporaryKey) throw usage('temporaryKey and an ID block that is signed already exclude each other');
    if (idBlock === undefined || idSignature === undefined || idPublicKey === undefined) {
      throw usage('idBlock, idSignature and idPublicKey belong together');
    }
    return { kind: 'outOfBand', idBlock: at(idBlock), signature: at(idSignature), publicKey: at(idPublicKey) };
  }
  if (!temporaryKey) return undefined;
  if (guestSvn === undefined) {
    if (manifest === undefined) throw usage('temporaryKey needs manifest or guestSvn');
    return { kind: 'manifest', path: at(manifest) };
  }
  if (!Number.isInteger(guestSvn) || guestSvn < 0 || guestSvn >= 2 ** 32) {
    throw usage('guestSvn is a whole number below 2^32');
  }
  return { kind: 'guestSvn', guestSvn };
}

/** The signature for a CoRIM document; undefined when none is given. @throws IgvmError SIGN_OPTION */
export function corimSource(
  { corimBundle, corimSignature, platform, allowRsa2048 }: SignExecutorSchema,
  at: (path: string) => string,
): (CorimSignatureSource & SignatureOptions) | undefined {
  const path = corimBundle ?? corimSignature;
  if (path === undefined) return undefined;
  if (corimBundle !== undefined && corimSignature !== undefined) {
    throw usage('corimBundle and corimSignature exclude each other');
  }
  if (platform === undefined) throw usage('a CoRIM signature needs platform');
  const kind = corimBundle === undefined ? 'detached' : 'bundle';
  return { platform, allowRsa2048, signature: { kind, path: at(path) } };
}
