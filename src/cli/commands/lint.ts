import { resolve } from 'node:path';
import type { Command } from 'commander';
import { printable, printableJson } from '../../errors/printable';
import { type CliEnvironment, ExitCode } from '../cli';
import { type LaunchFlags, withLaunchOptions } from '../options';

/** `nx-igvm lint FILE`; exit code 1 when there is something to say. */
export function registerLint(program: Command, environment: CliEnvironment): void {
  const command = program
    .command('lint')
    .description('list what VMMs refuse in an image, and what an image for production should not have')
    .argument('<file>', 'the image, or a firmware DLL with one');
  withLaunchOptions(command, 'the VMM that has to load the image (default: all of them)')
    .option('--json', 'as JSON, for programs')
    .addHelpText('after', '\nExit code: 0 when nothing is found, 1 when something is.')
    .action(async (file: string, { json, ...launch }: LaunchFlags & { json?: boolean }) => {
      const { lintImage, lintText } = require('../../lint/lint-image') as typeof import('../../lint/lint-image');
      const { launchesOfOptions } =
        require('../../measurement/launches') as typeof import('../../measurement/launches');
      const findings = await lintImage({
        image: resolve(environment.cwd, file),
        launches: launch.vmm === undefined ? undefined : launchesOfOptions(launch),
      });
      if (json === true) environment.stdout(`${printableJson({ findings })}\n`);
      else if (findings.length > 0) environment.stdout(lintText(findings));
      else environment.stdout(`${printable(file)}: nothing found\n`);
      if (findings.length > 0) throw new ExitCode(1);
    });
}
