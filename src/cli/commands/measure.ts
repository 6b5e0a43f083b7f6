import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import type { Vmm } from '../../measurement/launch-digest';
import type { MeasuredPlatform } from '../../measurement/measured-platform';
import type { CliEnvironment } from '../cli';
import { parsePlatform, PLATFORM_CHOICES } from './platform-option';
import { printable } from '../../errors/printable';

interface MeasureFlags {
  platform?: MeasuredPlatform;
  vmm: Vmm;
  json?: boolean;
  updateLock?: string;
}

/** `nx-igvm measure FILE` */
export function registerMeasure(program: Command, environment: CliEnvironment): void {
  program
    .command('measure')
    .description('compute the launch digests of an image')
    .argument('<file>', 'the image, or a firmware DLL with one')
    .option('--platform <platform>', `only this platform: one of ${PLATFORM_CHOICES}`, parsePlatform)
    .addOption(
      new Option('--vmm <vmm>', 'whose launch of SEV-SNP guests: file order, or as QEMU and KVM do it')
        .choices(['hyperv', 'kvm'])
        .default('hyperv'),
    )
    .option('--json', 'as JSON, for programs')
    .option('--update-lock <lock>', 'write the measurement lock, igvm.lock.json beside the manifest')
    .action(async (file: string, { platform, vmm, json, updateLock: lock }: MeasureFlags) => {
      const { measureFile } =
        require('../../measurement/measure-file') as typeof import('../../measurement/measure-file');
      const { measurementJson, measurementText } =
        require('../../measurement/measurement-report') as typeof import('../../measurement/measurement-report');
      const platforms = platform === undefined ? undefined : [platform];
      const measurements = await measureFile(resolve(environment.cwd, file), { platforms, vmm });
      for (const warning of measurements.flatMap(({ warnings }) => warnings)) {
        environment.stderr(`warning: ${warning}\n`);
      }
      if (json === true) environment.stdout(measurementJson(measurements, vmm));
      else if (measurements.length > 0) environment.stdout(measurementText(measurements));
      else environment.stdout(`${printable(file)} has no launch digest: no guest of it is isolated\n`);
      if (lock === undefined) return;
      const { updateLock } = require('../../lock/update-lock') as typeof import('../../lock/update-lock');
      const { isChanged } = await updateLock(resolve(environment.cwd, file), resolve(environment.cwd, lock), file);
      environment.stderr(`${printable(lock)}: ${isChanged ? 'written' : 'up to date'}\n`);
    });
}
