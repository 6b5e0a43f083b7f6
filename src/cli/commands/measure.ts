import type { Command } from 'commander';
import { IgvmError } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import { MEASURED_PLATFORM_NAMES, type MeasuredPlatform } from '../../igvm/platforms';
import { KVM_MODES } from '../../manifest/model';
import { ALL_VMM_NAMES, type LaunchOptions } from '../../measurement/launches';
import { type Caller, commandLine } from '../caller';
import type { CliEnvironment } from '../cli';

/** Adds the options that describe how a guest is launched. @param vmms the meaning of --vmm, for the help */
export const withLaunchOptions = (command: Command, vmms: string): Command =>
  command
    .addOption(command.createOption('--vmm <vmm>', vmms).choices([...ALL_VMM_NAMES, 'kvm']))
    .option('--vcpus <counts>', 'numbers of vCPUs for VMMs on KVM, such as 1,2,4 (default: 1)')
    .option('--cpu <models>', 'processors for QEMU: models (EPYC-Milan), signatures (0x00a00f11) or 25/1/1')
    .addOption(
      command
        .createOption(
          '--kvm-mode <mode>',
          'whose VMSAs KVM measures; bsp-only is for an unfinished change to the kernel',
        )
        .choices(KVM_MODES),
    );

/** Whether options describe a launch. */
export const isLaunchGiven = ({ vmm, vcpus, cpu, kvmMode }: LaunchOptions): boolean =>
  [vmm, vcpus, cpu, kvmMode].some((each) => each !== undefined);

/** The option that names a platform. @param meaning for the help */
export const platformOption = (command: Command, meaning: string): ReturnType<Command['createOption']> =>
  command.createOption('--platform <platform>', meaning).choices(MEASURED_PLATFORM_NAMES);

/** Options that `nx-igvm measure` and `nx-igvm:measure` share. Paths are relative to the caller's folder. */
export interface MeasureOptions extends LaunchOptions {
  image: string;
  platform?: MeasuredPlatform;
  json?: boolean;
  allowDebug?: boolean;
}

/**
 * Prints the launch digests of an image. An image without isolated guests has none, which is not a failure.
 * @param lock a lock; unless options name a VMM, the launches in its manifest count
 * @throws IgvmError MEASUREMENT_REFUSED when a VMM doesn't load the image, unless the output is JSON; LAUNCH_INVALID;
 *   and as measureFileLaunches does
 */
export async function printDigests(options: MeasureOptions, caller: Caller, lock?: string): Promise<void> {
  const { image, platform, vmm, vcpus, cpu, kvmMode, json = false } = options;
  const { measureFileLaunches, measurementJson, measurementText, throwRefusals } =
    require('../../measurement/measure') as typeof import('../../measurement/measure');
  const { launchesOfOptions } = require('../../measurement/launches') as typeof import('../../measurement/launches');
  const report = await measureFileLaunches(caller.at(image), {
    platforms: platform === undefined ? undefined : [platform],
    launches:
      (vmm === undefined && lock !== undefined ? launchesOfManifest(caller.at(lock)) : undefined) ??
      launchesOfOptions({ vmm, vcpus, cpu, kvmMode }),
  });
  const { measurements, refusals } = report;
  for (const warning of new Set(measurements.flatMap(({ warnings }) => warnings))) caller.warn(warning);
  if (json) return caller.write(measurementJson(report));
  if (measurements.length + refusals.length === 0) {
    return caller.info(`${printable(image)} has no launch digest: it has no isolated guests`);
  }
  if (measurements.length > 0) caller.info(measurementText(measurements).trimEnd());
  // JSON states refusals. People and scripts that read lines must not mistake one for a success.
  throwRefusals(refusals);
}

function launchesOfManifest(lock: string) {
  const { manifestLaunches } = require('../../lock/lock-file') as typeof import('../../lock/lock-file');
  return manifestLaunches(lock);
}

/** Writes the lock of an image, and reports whether it changed. @throws IgvmError as updateLock does */
export async function writeLock(
  { image, allowDebug }: Pick<MeasureOptions, 'image' | 'allowDebug'>,
  lock: string,
  caller: Caller,
): Promise<void> {
  const { updateLock } = require('../../lock/update-lock') as typeof import('../../lock/update-lock');
  const { isChanged } = await updateLock(caller.at(image), caller.at(lock), image, { allowDebug });
  caller.note(`${printable(lock)}: ${isChanged ? 'written' : 'up to date'}`);
}

/** `nx-igvm measure FILE` */
export function registerMeasure(program: Command, environment: CliEnvironment): void {
  const command = program
    .command('measure')
    .description('compute the launch digests of an image')
    .argument('<file>', 'the image, or a firmware DLL with one');
  command.addOption(platformOption(command, 'only this platform'));
  withLaunchOptions(
    command,
    'the VMM that launches SEV-SNP guests (default: hyperv, whose digest the documents endorse)',
  )
    .option('--json', 'as JSON, for programs')
    .option('--update-lock <lock>', 'write the measurement lock, igvm.lock.json beside the manifest')
    .option('--allow-debug', 'with --update-lock: also allow guests that the host may debug, and say so in the lock')
    .action(async (image: string, { updateLock: lock, ...flags }: MeasureOptions & { updateLock?: string }) => {
      const caller = commandLine(environment);
      await printDigests({ ...flags, image }, caller);
      if (lock !== undefined) await writeLock({ ...flags, image }, lock, caller);
    });
}

/** Options that `nx-igvm verify` and `nx-igvm:verify` share. Paths are relative to the caller's folder. */
export interface VerifyOptions {
  image: string;
  lock: string;
}

/**
 * Compares an image with its lock.
 * @returns the report, and for an image that differs from its lock the failure LOCK_MISMATCH
 * @throws IgvmError as verifyImage does
 */
export async function verifyWithLock(
  { image, lock }: VerifyOptions,
  caller: Caller,
): Promise<{ text: string; failure?: IgvmError }> {
  const { mismatchText, verifyImage, verifyText } =
    require('../../lock/verify-image') as typeof import('../../lock/verify-image');
  const { display } = caller;
  const report = await verifyImage({ image: caller.at(image), lock: caller.at(lock), display });
  const text = verifyText(report);
  if (report.differences.length === 0) return { text: `${printable(image)}: ${text}` };
  return { text, failure: new IgvmError('LOCK_MISMATCH', mismatchText(report, lock), { file: image }) };
}

/** `nx-igvm verify FILE --lock LOCK` */
export function registerVerify(program: Command, environment: CliEnvironment): void {
  program
    .command('verify')
    .description('check that an image and its documents match its lock')
    .argument('<file>', 'the image')
    .requiredOption('--lock <lock>', 'the measurement lock, igvm.lock.json beside the manifest')
    .action(async (image: string, { lock }: Pick<VerifyOptions, 'lock'>) => {
      const { text, failure } = await verifyWithLock({ image, lock }, commandLine(environment));
      environment.stdout(`${text}\n`);
      if (failure !== undefined) throw failure;
    });
}
