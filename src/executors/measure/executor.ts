import { resolve } from 'node:path';
import { logger } from '../../plugin/workspace-nx';
import { IgvmError } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import { asTask } from '../as-task';
import { checkTarget, type TargetContext, targetOf, type TaskContext } from '../check-target';
import type { MeasureExecutorSchema } from './schema';

/**
 * Prints the launch digests of an image, and writes its lock when asked to. An image without isolated guests has none, which is
 * no failure.
 */
export default async function measureExecutor(
  options: MeasureExecutorSchema,
  context: TargetContext & TaskContext,
): Promise<{ success: boolean }> {
  const { root } = context;
  return asTask(
    context,
    async () => {
      checkTarget(context, targetOf(context), options);
      await printDigests(options, root);
      if (options.updateLock === true) await writeLock(options, root);
      return { success: true };
    },
    options.lock,
  );
}

async function printDigests(
  { image, lock, platform, vmm, vcpus, cpu, kvmMode, json = false }: MeasureExecutorSchema,
  root: string,
): Promise<void> {
  const { manifestLaunches } = require('../../lock/lock-file') as typeof import('../../lock/lock-file');
  const { launchesOfOptions } = require('../../measurement/launches') as typeof import('../../measurement/launches');
  const { throwRefusals } = require('../../measurement/measure') as typeof import('../../measurement/measure');
  const { measureFileLaunches } = require('../../measurement/measure') as typeof import('../../measurement/measure');
  const { measurementJson, measurementText } =
    require('../../measurement/measure') as typeof import('../../measurement/measure');
  const platforms = platform === undefined ? undefined : [platform];
  const named = vmm === undefined && lock !== undefined ? manifestLaunches(resolve(root, lock)) : undefined;
  const launches = named ?? launchesOfOptions({ vmm, vcpus, cpu, kvmMode });
  const report = await measureFileLaunches(resolve(root, image), { platforms, launches });
  const { measurements, refusals } = report;
  for (const warning of new Set(measurements.flatMap(({ warnings }) => warnings))) logger.warn(warning);
  if (json) process.stdout.write(measurementJson(report));
  else if (measurements.length + refusals.length === 0) {
    logger.info(`${printable(image)} has no launch digest: it has no isolated guests`);
  } else {
    if (measurements.length > 0) logger.info(measurementText(measurements).trimEnd());
    throwRefusals(refusals);
  }
}

async function writeLock({ image, lock, allowDebug }: MeasureExecutorSchema, root: string): Promise<void> {
  const { updateLock } = require('../../lock/update-lock') as typeof import('../../lock/update-lock');
  if (lock === undefined) throw new IgvmError('LOCK_MISSING', 'the option "lock" does not say which file to write');
  const { isChanged } = await updateLock(resolve(root, image), resolve(root, lock), image, { allowDebug });
  logger.info(`${printable(lock)}: ${isChanged ? 'written' : 'up to date'}`);
}
