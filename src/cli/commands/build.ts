import { resolve, sep } from 'node:path';
import type { Command } from 'commander';
import { buildWithProgress } from '../build-with-progress';
import { programPath } from '../../files/find-program';
import { shownPath } from '../../files/shown-path';
import type { CliEnvironment } from '../cli';

interface BuildOptions {
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
  program
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
    .option('--loader <program>', 'have this igvmfilegen program build the image: a path, or a name in PATH')
    .action(async (manifest: string, options: BuildOptions) => {
      const { cwd } = environment;
      const { imageNameInWorkspace } =
        require('../../manifest/image-files') as typeof import('../../manifest/image-files');
      const { reportText } = require('../../builder/build-report') as typeof import('../../builder/build-report');
      const display = (path: string): string => shownPath(cwd, path);
      const report = await buildWithProgress(environment, {
        ...options,
        manifest: resolve(cwd, manifest),
        resources: options.resources === undefined ? undefined : resolve(cwd, options.resources),
        output: resolve(cwd, options.output ?? `${imageNameInWorkspace(slashes(resolve(cwd, manifest)))}.igvm`),
        loader: options.loader === undefined ? undefined : programPath(options.loader, cwd),
        message: environment.stderr,
        display,
      });
      environment.stdout(reportText(report, display, { verbose: program.opts<{ verbose?: boolean }>().verbose }));
    });
}

const slashes = (path: string): string => path.split(sep).join('/');
