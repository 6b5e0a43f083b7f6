import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type CliEnvironment, ExitCode } from '../cli';
import { printableJson } from '../../errors/printable';

/** `nx-igvm diff A B`; exit code 1 when they differ. */
export function registerDiff(program: Command, environment: CliEnvironment): void {
  program
    .command('diff')
    .description('show how two images differ: headers, registers, pages (named from the map files), launch digests')
    .argument('<a>', 'an image')
    .argument('<b>', 'another image')
    .option('--json', 'as JSON, for programs')
    .addHelpText('after', '\nExit code: 0 when the files are the same, 1 when they differ.')
    .action(async (a: string, b: string, { json }: { json?: boolean }) => {
      const { diffFiles } = require('../../diff/diff-files') as typeof import('../../diff/diff-files');
      const { diffText } = require('../../diff/diff-text') as typeof import('../../diff/diff-text');
      const difference = await diffFiles(resolve(environment.cwd, a), resolve(environment.cwd, b));
      environment.stdout(json === true ? `${printableJson(difference)}\n` : diffText(difference));
      if (!difference.isSame) throw new ExitCode(1);
    });
}
