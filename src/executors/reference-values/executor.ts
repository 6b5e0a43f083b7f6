import { resolve } from 'node:path';
import type { ExecutorContext } from 'nx/src/devkit-exports';
import { IgvmError } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import { shownPath } from '../../files/file-failure';
import { logger } from '../../plugin/workspace-nx';
import { asTask } from '../as-task';
import { checkTarget, targetOf } from '../check-target';
import type { ReferenceValuesExecutorSchema } from './schema';

/** Writes reference values of an image. */
export default async function referenceValuesExecutor(
  options: ReferenceValuesExecutorSchema,
  context: ExecutorContext,
): Promise<{ success: boolean }> {
  const { signerOf, writeReferenceValues } =
    require('../../attestation/reference-values') as typeof import('../../attestation/reference-values');
  const { launchesOfOptions } = require('../../measurement/launches') as typeof import('../../measurement/launches');
  const { root } = context;
  const at = (path: string): string => resolve(root, path);
  return asTask(context, async () => {
    checkTarget(context, targetOf(context), options);
    const { image, outputPath, lock, manifest, vmm, vcpus, cpu, kvmMode } = options;
    const isLaunchGiven = [vmm, vcpus, cpu, kvmMode].some((each) => each !== undefined);
    if (isLaunchGiven && lock !== undefined) throw new IgvmError('USAGE', 'the lock says which launches count');
    const { files, warnings } = await writeReferenceValues({
      image: at(image),
      output: at(outputPath),
      lock: lock === undefined ? undefined : at(lock),
      manifest: manifest === undefined ? undefined : at(manifest),
      workspaceRoot: root,
      launches: isLaunchGiven ? launchesOfOptions({ vmm, vcpus, cpu, kvmMode }) : undefined,
      formats: options.formats,
      signer: signerOf({ key: options.signKey, command: options.signCommand, publicKey: options.publicKey }, at),
      envelope: options.envelope,
      display: (path) => shownPath(root, path),
    });
    for (const warning of warnings) logger.warn(warning);
    logger.info(files.map((file) => printable(`${outputPath}/${file}`)).join('\n'));
    return { success: true };
  });
}
