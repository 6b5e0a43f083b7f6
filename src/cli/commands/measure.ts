import { resolve } from 'node:path';
import type { Command } from 'commander';
import { printable } from '../../errors/printable';
import type { MeasuredPlatform } from '../../igvm/isolation';
import type { CliEnvironment } from '../cli';
import { type LaunchFlags, parsePlatform, PLATFORM_CHOICES, withLaunchOptions } from '../options';

interface MeasureFlags extends LaunchFlags {
  platform?: MeasuredPlatform;
  json?: boolean;
  updateLock?: string;
  allowDebug?: boolean;
}

/** `nx-igvm measure FILE` */
export function registerMeasure(program: Command, environment: CliEnvironment): void {
  const command = program
    .command('measure')
    .description('compute the launch digests of an image')
    .argument('<file>', 'the image, or a firmware DLL with one')
    .option('--platform <platform>', `only this platform: one of ${PLATFORM_CHOICES}`, parsePlatform);
  withLaunchOptions(command, 'whose launch of SEV-SNP guests (default: hyperv, which the documents endorse)')
    .option('--json', 'as JSON, for programs')
    .option('--update-lock <lock>', 'write the measurement lock, igvm.lock.json beside the manifest')
    .option('--allow-debug', 'with --update-lock: also for guests that the host may debug, and say so in the lock')
    .action(async (file: string, { platform, json, updateLock: lock, allowDebug, ...launch }: MeasureFlags) => {
      const { measureFileLaunches } =
        require('../../measurement/measure') as typeof import('../../measurement/measure');
      const { throwRefusals } = require('../../measurement/measure') as typeof import('../../measurement/measure');
      const { measurementJson, measurementText } =
        require('../../measurement/measure') as typeof import('../../measurement/measure');
      const { launchesOfOptions } =
        require('../../measurement/launches') as typeof import('../../measurement/launches');
      const report = await measureFileLaunches(resolve(environment.cwd, file), {
        platforms: platform === undefined ? undefined : [platform],
        launches: launchesOfOptions(launch),
      });
      const { measurements, refusals } = report;
      for (const warning of new Set(measurements.flatMap(({ warnings }) => warnings))) {
        environment.stderr(`warning: ${warning}\n`);
      }
      if (json === true) environment.stdout(measurementJson(report));
      else if (measurements.length + refusals.length === 0) {
        environment.stdout(`${printable(file)} has no launch digest: it has no isolated guests\n`);
      } else {
        environment.stdout(measurementText(measurements));
        // In JSON a refusal is an answer; people and scripts that read lines must not take it for success.
        throwRefusals(refusals);
      }
      if (lock === undefined) return;
      const { updateLock } = require('../../lock/update-lock') as typeof import('../../lock/update-lock');
      const { isChanged } = await updateLock(resolve(environment.cwd, file), resolve(environment.cwd, lock), file, {
        allowDebug,
      });
      environment.stderr(`${printable(lock)}: ${isChanged ? 'written' : 'up to date'}\n`);
    });
}
