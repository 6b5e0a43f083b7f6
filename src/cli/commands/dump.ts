import { resolve } from 'node:path';
import type { Command } from 'commander';
import { textChunks } from '../../files/text-chunks';
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

async function dumpFile(environment: CliEnvironment, path: string, asJson: boolean): Promise<void> {
  const { withImage } = require('../../files/igvm-image') as typeof import('../../files/igvm-image');
  const { dump } = require('../../igvm/dump') as typeof import('../../igvm/dump');
  const { dumpJson } = require('../../igvm/dump-json') as typeof import('../../igvm/dump-json');
  const { dumpText } = require('../../igvm/dump-text') as typeof import('../../igvm/dump-text');
  const { describeVpContext } = require('../../vp-context/decode') as typeof import('../../vp-context/decode');
  await withImage(resolve(environment.cwd, path), ({ file, source }) => {
    const contents = dump(file, source, (context) => describeVpContext(context, file.arch));
    for (const chunk of textChunks(asJson ? dumpJson(contents) : dumpText(contents))) environment.stdout(chunk);
  });
}
