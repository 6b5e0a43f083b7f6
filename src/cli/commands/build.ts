import { resolve, sep } from 'node:path';
import type { Command } from 'commander';
import type { ManifestBuild } from '../../builder/build-manifest';
import type { BuildReport } from '../../builder/build-report';
import { formatPlaced, IgvmError } from '../../errors/igvm-error';
import { messageSink } from '../../errors/printable';
import { programPath } from '../../files/find-program';
import { imageNameInWorkspace } from '../../manifest/image-files';
import type { ManifestOverrides } from '../../manifest/load-manifest';
import { COMMON_MEMORY_LIMIT, PAGE_SIZE, readMemorySize } from '../../memory/page';
import { type Caller, commandLine, optionalPath } from '../caller';
import type { CliEnvironment } from '../cli';
import { addDownloadOptions, downloadDisplay, type DownloadSettings } from './fetch';

/** Options that `nx-igvm build` and `nx-igvm:build` share. Paths are relative to the caller's folder. */
export interface BuildOptions extends DownloadSettings, ManifestOverrides {
  manifest: string;
  resources?: string;
  strict?: boolean;
  debugValidation?: boolean;
  private?: boolean;
  loader?: string;
}

/** Settings for which the command line and a task of Nx have different sources. */
export interface BuildSetting extends Pick<ManifestBuild, 'workspaceRoot' | 'check'> {
  /** Absolute path of the image. */
  output: string;
  /** Whether to report details as well. */
  verbose: boolean;
  /** Whether to show a progress bar. Nx has a display of its own. */
  showsProgress: boolean;
}

/**
 * Builds the image of a manifest and reports its files.
 * @throws IgvmError as buildManifest does
 */
export async function build(
  { manifest, resources, loader, downloads, downloadLimit, ...options }: BuildOptions,
  caller: Caller,
  { verbose, showsProgress, ...setting }: BuildSetting,
): Promise<void> {
  const { reportText } = require('../../builder/build-report') as typeof import('../../builder/build-report');
  const request: ManifestBuild = {
    ...options,
    ...setting,
    manifest: caller.at(manifest),
    resources: optionalPath(caller, resources),
    loader: loader === undefined ? undefined : programPath(loader, caller.folder),
    display: caller.display,
  };
  const report = await buildWithProgress(request, caller, { downloads, downloadLimit }, showsProgress);
  caller.info(reportText(report, caller.display, { verbose }).trimEnd());
}

/** `nx-igvm build MANIFEST` */
export function registerBuild(program: Command, environment: CliEnvironment): void {
  const command = program
    .command('build')
    .description('build the image of a manifest, with its map and endorsement files')
    .argument('<manifest>', 'the manifest: igvm.json or NAME.igvm.json')
    .option('-r, --resources <file>', "igvmfilegen's resources file, instead of the manifest's resources")
    .option('-o, --output <file>', 'the image to write (default: NAME.igvm in the current folder)')
    .option('--strict', 'treat unknown keys of the manifest as errors')
    .option('--debug-validation', 'read the image back and compare')
    .option('--disable-secure-avic', 'build SNP guests without secure AVIC')
    .option(
      '--confidential-debug',
      'let OpenHCL trust diagnostics by the host; this is measured, and for development only',
    )
    .option('--embed-corim', 'include the CoRIM documents in the image, whatever the manifest says')
    .option(
      '--no-embed-corim',
      'write the CoRIM documents only beside the image; QEMU and Cloud Hypervisor refuse images with them',
    )
    .option('--private', 'let only the owner read the image (mode 0600)')
    .option('--loader <program>', 'build the image with this igvmfilegen program: a path, or a name in PATH');
  addDownloadOptions(command).action(
    (manifest: string, { output, ...options }: Omit<BuildOptions, 'manifest'> & { output?: string }) => {
      const caller = commandLine(environment);
      const name = imageNameInWorkspace(slashes(resolve(environment.cwd, manifest)));
      return build({ ...options, manifest }, caller, {
        output: caller.at(output ?? `${name}.igvm`),
        verbose: program.opts<{ verbose?: boolean }>().verbose === true,
        showsProgress: environment.isInteractive,
      });
    },
  );
}

const slashes = (path: string): string => path.split(sep).join('/');

interface ManifestOptions {
  manifest: string;
  resources: string;
  output: string;
  debugValidation?: boolean;
  disableSecureAvic?: boolean;
  confidentialDebug?: boolean;
}

/** `igvmfilegen manifest`, igvmfilegen's own command line. It prints nothing on success. */
export function registerManifest(program: Command, environment: CliEnvironment): void {
  program
    .command('manifest')
    .description('build an IGVM file according to a manifest')
    .requiredOption('-m, --manifest <MANIFEST>', 'config manifest file path')
    .requiredOption('-r, --resources <RESOURCES>', 'resources file describing the binaries to build from')
    .requiredOption('-o, --output <OUTPUT>', 'output file path for the built igvm file')
    .option('--debug-validation', 'read the image back and compare')
    .option('--disable-secure-avic', 'override secure AVIC to disabled for SNP guest configs')
    .option('--confidential-debug', 'add the confidential debug flag to the measured OpenHCL command line')
    .action(async ({ manifest, resources, output, ...options }: ManifestOptions) => {
      const caller = commandLine(environment);
      await buildWithProgress(
        {
          ...options,
          manifest: caller.at(manifest),
          resources: caller.at(resources),
          output: caller.at(output),
          display: caller.display,
        },
        caller,
      );
    });
}

/** Pages. A smaller build is over before anybody could read a progress bar: 64 MiB. */
const SHOW_ABOVE_PAGES = 16384;

/** Builds an image, passes warnings and messages on, and shows the progress of a large image and of downloads. */
export async function buildWithProgress(
  request: ManifestBuild,
  caller: Caller,
  settings: DownloadSettings = {},
  showsProgress = caller.isInteractive,
): Promise<BuildReport> {
  const { buildManifest } = require('../../builder/build-manifest') as typeof import('../../builder/build-manifest');
  const messages = messageSink(caller.message, caller.isInteractive);
  const bar = showsProgress ? progressBar() : undefined;
  const downloads = downloadDisplay(settings, caller);
  try {
    return await buildManifest({
      ...request,
      warn: ({ message, where }) => caller.warn(formatPlaced(message, where)),
      progress: bar?.update,
      downloads,
      message: messages.add,
    });
  } finally {
    messages.end();
    bar?.stop();
    downloads.stop();
  }
}

function progressBar(): { update: (done: number, total: number) => void; stop: () => void } {
  const { Presets, SingleBar } = require('cli-progress') as typeof import('cli-progress');
  let bar: InstanceType<typeof SingleBar> | undefined;
  return {
    update(done, total) {
      if (total < SHOW_ABOVE_PAGES) return;
      if (bar === undefined) {
        bar = new SingleBar(
          { format: '{bar} {percentage}% of {total} pages', clearOnComplete: true },
          Presets.shades_classic,
        );
        bar.start(total, done);
      }
      bar.update(done);
    },
    stop: () => bar?.stop(),
  };
}

interface PackOptions {
  initrd?: string;
  commandLine?: string;
  memory: string;
  cpus?: string;
  private?: boolean;
  output: string;
}

/** `nx-igvm pack KERNEL` */
export function registerPack(program: Command, environment: CliEnvironment): void {
  program
    .command('pack')
    .description('build an image from a Linux kernel, without a manifest')
    .argument('<kernel>', 'an x64 kernel: bzImage, vmlinux or a UKI')
    .option('-i, --initrd <file>', 'the initramfs (default: the one in a UKI)')
    .option(
      '-c, --command-line <text>',
      'the command line (default: the one in a UKI, otherwise "console=ttyS0 panic=-1")',
    )
    .option('-m, --memory <size>', "the guest's memory, up to 2G", '512M')
    .option('--cpus <count>', 'the largest number of processors (default: the VMM decides)')
    .option('--private', 'let only the owner read the image (mode 0600)')
    .option('-o, --output <file>', 'the image to write', 'guest.igvm')
    .action(async (kernel: string, options: PackOptions) => {
      const { packKernel } = require('../../builder/pack-kernel') as typeof import('../../builder/pack-kernel');
      const { reportText } = require('../../builder/build-report') as typeof import('../../builder/build-report');
      const caller = commandLine(environment);
      const file = (display: string): { path: string; display: string } => ({ path: caller.at(display), display });
      const report = await packKernel({
        kernel: file(kernel),
        initrd: options.initrd === undefined ? undefined : file(options.initrd),
        commandLine: options.commandLine,
        memory: memory(options.memory),
        processorCount: options.cpus === undefined ? undefined : count(options.cpus),
        private: options.private,
        output: caller.at(options.output),
      });
      const { verbose } = program.opts<{ verbose?: boolean }>();
      environment.stdout(reportText(report, caller.display, { verbose }));
    });
}

function memory(text: string): number {
  const bytes = readMemorySize(text);
  if (bytes === undefined || bytes % PAGE_SIZE !== 0) {
    const meant = /^\d+$/.test(text) ? `: write ${text}M for MiB` : '';
    refuse('--memory', text, `a size like 512M or 1G, in whole pages${meant}`);
  }
  if (bytes > COMMON_MEMORY_LIMIT)
    refuse('--memory', text, 'a size up to 2G, the most that such an image can describe');
  return bytes;
}

/** The capacity of an MP table, which limits `processor_count` in a manifest. */
const MOST_PROCESSORS = 254;

const count = (text: string): number =>
  /^[1-9]\d{0,2}$/.test(text) && Number(text) <= MOST_PROCESSORS
    ? Number(text)
    : refuse('--cpus', text, `a number of processors from 1 to ${MOST_PROCESSORS}`);

function refuse(option: string, value: string, wanted: string): never {
  throw new IgvmError('USAGE', `${option} is "${value}", not ${wanted}`);
}
