import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { CliEnvironment } from '../cli';

/** `nx-igvm dump FILE` */
export function registerDump(program: Command, environment: CliEnvironment): void {
  program
    .command('dump')
    .description('show what an image, or the image in a firmware DLL, consists of')
    .argument('<file>', 'the image')
    .option('--json', 'as JSON, for programs')
    .action((file: string, { json }: { json?: boolean }) => dumpFile(environment, file, json === true));
}

/** `igvmfilegen dump -f FILE` */
export function registerIgvmfilegenDump(program: Command, environment: CliEnvironment): void {
  program
    .command('dump')
    .description('dump the contents of an IGVM file, or of a firmware DLL, in a human-readable format')
    .requiredOption('-f, --filepath <FILE_PATH>', 'dump file path')
    .action(({ filepath }: { filepath: string }) => dumpFile(environment, filepath, false));
}

async function dumpFile(environment: CliEnvironment, file: string, asJson: boolean): Promise<void> {
  const { inspectImage } = require('../../inspect/inspect-file') as typeof import('../../inspect/inspect-file');
  await inspectImage({
    image: resolve(environment.cwd, file),
    format: asJson ? 'json' : 'text',
    name: file,
    write: environment.stdout,
  });
}
