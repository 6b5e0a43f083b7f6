import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import type { MeasuredPlatform } from '../../igvm/isolation';
import type { CliEnvironment } from '../cli';
import { parsePlatform, PLATFORM_CHOICES } from '../options';
import { printableJson } from '../../errors/printable';

interface DumpCorimOptions {
  headerType?: 'document' | 'signature';
  platform?: MeasuredPlatform;
  output?: string;
  json?: boolean;
}

/** `nx-igvm dump-corim FILE` */
export function registerDumpCorim(program: Command, environment: CliEnvironment): void {
  corimOptions(program.command('dump-corim').argument('<file>', 'the image, or a firmware DLL with one'))
    .option('--json', 'as JSON, for programs')
    .action((file: string, options: DumpCorimOptions) => dumpCorim(environment, file, options));
}

/** `igvmfilegen dump-corim -f FILE` */
export function registerIgvmfilegenDumpCorim(program: Command, environment: CliEnvironment): void {
  corimOptions(
    program.command('dump-corim').requiredOption('-f, --filepath <FILE_PATH>', 'input IGVM file or DLL'),
  ).action(({ filepath, ...options }: DumpCorimOptions & { filepath: string }) =>
    dumpCorim(environment, filepath, options),
  );
}

const corimOptions = (command: Command): Command =>
  command
    .description('list the CoRIM documents and signatures of an image, or extract them')
    .addOption(new Option('--header-type <type>', 'only these headers').choices(['document', 'signature']))
    .option('--platform <platform>', `only this platform: one of ${PLATFORM_CHOICES}`, parsePlatform)
    .option('-o, --output <folder>', 'folder to extract them to');

async function dumpCorim(
  environment: CliEnvironment,
  file: string,
  { headerType, platform, output, json }: DumpCorimOptions,
): Promise<void> {
  const { extractCorims } = require('../../endorsement/corims') as typeof import('../../endorsement/corims');
  const named = (display: string): { path: string; display: string } => ({
    path: resolve(environment.cwd, display),
    display,
  });
  const filter = { kind: headerType, platform };
  const { text, corims } = await extractCorims(named(file), filter, output === undefined ? undefined : named(output));
  environment.stdout(json === true ? `${printableJson({ corims })}\n` : text);
}
