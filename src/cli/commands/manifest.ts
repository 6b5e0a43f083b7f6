import { resolve } from 'node:path';
import type { Command } from 'commander';
import { buildWithProgress } from '../build-with-progress';
import type { CliEnvironment } from '../cli';

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
