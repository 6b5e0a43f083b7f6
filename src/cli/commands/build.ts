import { resolve, sep } from 'node:path';
import type { Command } from 'commander';
import type { ManifestBuild } from '../../builder/build-manifest';
import type { BuildReport } from '../../builder/build-report';
import { formatPlaced } from '../../errors/igvm-error';
import { messageSink } from '../../errors/printable';
import { programPath } from '../../files/find-program';
import { shownPath } from '../../files/file-failure';
import type { CliEnvironment } from '../cli';
import { addDownloadOptions, downloadDisplay, type DownloadSettings } from '../download-display';

interface BuildOptions extends DownloadSettings {
  resources?: string;
  output?: string;
  strict?: boolean;
  debugValidation?: boolean;
  disableSecureAvic?: boolean;
  confidentialDebug?: boolean;
  private?: boolean;
  embedCorim?: boolean;
  loader?: string;
}

/** `nx-igvm build MANIFEST` */
export function registerBuild(program: Command, environment: CliEnvironment): void {
  const command = program
    .command('build')
    .description('build the image of a manifest, with its map and endorsement files')
    .argument('<manifest>', 'the image: igvm.json or NAME.igvm.json')
    .option('-r, --resources <file>', "igvmfilegen's resources file, instead of the manifest's resources")
    .option('-o, --output <file>', 'the image to write (default: NAME.igvm in the current folder)')
    .option('--strict', 'treat unknown keys of the manifest as errors')
    .option('--debug-validation', 'read the image back and compare')
    .option('--disable-secure-avic', 'build SNP guests without secure AVIC')
    .option('--confidential-debug', 'have OpenHCL trust diagnostics by the host; measured; for development only')
    .option('--embed-corim', 'have the image hold its CoRIM documents, whatever the manifest says')
    .option(
      '--no-embed-corim',
      'leave them out of the image, not out of its folder: QEMU and Cloud Hypervisor refuse them',
    )
    .option('--private', 'let nobody but its owner read the image (mode 0600)')
    .option('--loader <program>', 'have this igvmfilegen program build the image: a path, or a name in PATH');
  addDownloadOptions(command).action(
    async (manifest: string, { downloads, downloadLimit, ...options }: BuildOptions) => {
      const { cwd } = environment;
      const { imageNameInWorkspace } =
        require('../../manifest/image-files') as typeof import('../../manifest/image-files');
      const { reportText } = require('../../builder/build-report') as typeof import('../../builder/build-report');
      const display = (path: string): string => shownPath(cwd, path);
      const report = await buildWithProgress(
        environment,
        {
          ...options,
          manifest: resolve(cwd, manifest),
          resources: options.resources === undefined ? undefined : resolve(cwd, options.resources),
          output: resolve(cwd, options.output ?? `${imageNameInWorkspace(slashes(resolve(cwd, manifest)))}.igvm`),
          loader: options.loader === undefined ? undefined : programPath(options.loader, cwd),
          message: environment.stderr,
          display,
        },
        { downloads, downloadLimit },
      );
      environment.stdout(reportText(report, display, { verbose: program.opts<{ verbose?: boolean }>().verbose }));
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

/** `igvmfilegen manifest`, igvmfilegen's own command line. It says nothing when all is well. */
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
      const at = (path: string): string => resolve(environment.cwd, path);
      const given = new Map([manifest, resources, output].map((path) => [at(path), path]));
      await buildWithProgress(environment, {
        ...options,
        manifest: at(manifest),
        resources: at(resources),
        output: at(output),
        display: (path) => given.get(path) ?? path,
      });
    });
}

/** Builds of fewer pages are over before a bar could be read: 64 MiB. */
const SHOW_ABOVE_PAGES = 16384;

/** Builds, prints warnings to stderr, and where a person watches shows how far a large image is. */
export async function buildWithProgress(
  environment: CliEnvironment,
  build: ManifestBuild,
  settings: DownloadSettings = {},
): Promise<BuildReport> {
  const { buildManifest } = require('../../builder/build-manifest') as typeof import('../../builder/build-manifest');
  const { message } = build;
  const messages = message === undefined ? undefined : messageSink(message, environment.isInteractive);
  const bar = environment.isInteractive ? progressBar() : undefined;
  const { cwd, isInteractive } = environment;
  const say = (line: string): void => environment.stderr(`${line}\n`);
  const downloads = downloadDisplay(settings, { cwd, isInteractive, say });
  try {
    return await buildManifest({
      ...build,
      warn: ({ message, where }) => environment.stderr(`warning: ${formatPlaced(message, where)}\n`),
      progress: bar?.update,
      downloads,
      message: messages?.add,
    });
  } finally {
    messages?.end();
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
