import { resolve } from 'node:path';
import type { Command } from 'commander';
import { counted, printable, printableJson } from '../../errors/printable';
import type { MeasuredPlatform } from '../../igvm/platforms';
import type { InspectFormat } from '../../inspect/inspect-file';
import { type Caller, commandLine, optionalPath } from '../caller';
import { type CliEnvironment, ExitCode } from '../cli';
import type { LaunchOptions } from '../../measurement/launches';
import { platformOption, withLaunchOptions } from './measure';

/** Options that `nx-igvm inspect` and `nx-igvm:inspect` share. Paths are relative to the caller's folder. */
export interface InspectOptions {
  image: string;
  format?: InspectFormat;
  lock?: string;
}

/**
 * Shows the contents of an image.
 * @param output the file to write; default: a page is written beside the image, and text and JSON go to the caller
 * @param isLockOptional whether the lock may not exist yet; the page then says so
 * @returns the file that was written, if any
 * @throws IgvmError as inspectImage does
 */
export async function inspect(
  { image, format = 'html', lock }: InspectOptions,
  caller: Caller,
  output: string | undefined,
  isLockOptional = false,
): Promise<string | undefined> {
  const { inspectImage, pagePath } =
    require('../../inspect/inspect-file') as typeof import('../../inspect/inspect-file');
  const target = output ?? (format === 'html' ? pagePath(image) : undefined);
  await inspectImage({
    image: caller.at(image),
    format,
    name: image,
    lock: lock === undefined ? undefined : { path: caller.at(lock), isOptional: isLockOptional },
    display: caller.display,
    output: optionalPath(caller, target),
    write: caller.write,
  });
  return target;
}

/** `nx-igvm inspect FILE` */
export function registerInspect(program: Command, environment: CliEnvironment): void {
  const command = program
    .command('inspect')
    .description('write a page that shows an image: memory map, regions, registers, digests')
    .argument('<file>', 'the image, or a firmware DLL with one');
  command
    .addOption(
      command
        .createOption('--format <format>', 'a page for a browser, or the output of dump')
        .choices(['html', 'text', 'json'])
        .default('html'),
    )
    .option('-o, --output <file>', 'the file to write (default: a page beside the image, text and JSON to stdout)')
    .option('--lock <file>', 'a measurement lock; the page says whether the image matches it')
    .action(async (image: string, { output, ...options }: Omit<InspectOptions, 'image'> & { output?: string }) => {
      const file = await inspect({ ...options, image }, commandLine(environment), output);
      if (file !== undefined) environment.stdout(`${printable(file)}\n`);
    });
}

/** `nx-igvm dump FILE` */
export function registerDump(program: Command, environment: CliEnvironment): void {
  program
    .command('dump')
    .description('show the content of an image, or of the image in a firmware DLL')
    .argument('<file>', 'the image')
    .option('--json', 'as JSON, for programs')
    .action((image: string, { json }: { json?: boolean }) => dump(environment, image, json === true));
}

/** `igvmfilegen dump -f FILE` */
export function registerIgvmfilegenDump(program: Command, environment: CliEnvironment): void {
  program
    .command('dump')
    .description('dump the contents of an IGVM file, or of a firmware DLL, in a human-readable format')
    .requiredOption('-f, --filepath <FILE_PATH>', 'dump file path')
    .action(({ filepath }: { filepath: string }) => dump(environment, filepath, false));
}

async function dump(environment: CliEnvironment, image: string, asJson: boolean): Promise<void> {
  await inspect({ image, format: asJson ? 'json' : 'text' }, commandLine(environment), undefined);
}

interface ExtractOptions {
  output: string;
  map?: string;
}

/** `nx-igvm extract IMAGE -o FOLDER` */
export function registerExtract(program: Command, environment: CliEnvironment): void {
  program
    .command('extract')
    .description('extract the parts of an image, or of the image in a firmware DLL, to files')
    .argument('<image>', 'the image')
    .requiredOption('-o, --output <folder>', 'a new folder for the files')
    .option('-m, --map <file>', 'the map file that names the parts (default: IMAGE.map, if it exists)')
    .action((image: string, options: ExtractOptions) => extract(environment, image, options));
}

/** `igvminspect extract -f IMAGE -o FOLDER` */
export function registerIgvminspectExtract(program: Command, environment: CliEnvironment): void {
  program
    .command('extract')
    .description('extract the contents of an IGVM file, or of a firmware DLL, to a new folder')
    .requiredOption('-f, --filepath <FILE_PATH>', 'the file to extract from')
    .requiredOption('-o, --output <OUTPUT>', 'the folder to make')
    .option('-m, --map <MAP>', 'the map file that igvmfilegen wrote with the file')
    .action(({ filepath, ...options }: ExtractOptions & { filepath: string }) =>
      extract(environment, filepath, options),
    );
}

async function extract(environment: CliEnvironment, image: string, { output, map }: ExtractOptions): Promise<void> {
  const { extractImage } = require('../../inspect/extract-image') as typeof import('../../inspect/extract-image');
  const caller = commandLine(environment);
  const { display } = caller;
  const { regions, contexts, parameterAreas } = await extractImage({
    image: caller.at(image),
    output: caller.at(output),
    map: optionalPath(caller, map),
    display,
  });
  const parts = [
    counted(regions, 'region'),
    counted(contexts, 'VP context'),
    counted(parameterAreas, 'parameter area'),
  ];
  caller.info(`${printable(output)}: ${parts.join(', ')}`);
}

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
    .addOption(command.createOption('--header-type <type>', 'only these headers').choices(['document', 'signature']))
    .addOption(platformOption(command, 'only this platform'))
    .option('-o, --output <folder>', 'the folder to extract them to');

async function dumpCorim(
  { cwd, stdout }: CliEnvironment,
  file: string,
  { headerType, platform, output, json }: DumpCorimOptions,
): Promise<void> {
  const { extractCorims } = require('../../endorsement/corims') as typeof import('../../endorsement/corims');
  const named = (display: string): { path: string; display: string } => ({ path: resolve(cwd, display), display });
  const filter = { kind: headerType, platform };
  const { text, corims } = await extractCorims(named(file), filter, output === undefined ? undefined : named(output));
  stdout(json === true ? `${printableJson({ corims })}\n` : text);
}

/** `nx-igvm lint FILE`. The exit code is 1 when there is a finding. */
export function registerLint(program: Command, environment: CliEnvironment): void {
  const command = program
    .command('lint')
    .description('list what VMMs refuse in an image, and what a production image should not contain')
    .argument('<file>', 'the image, or a firmware DLL with one');
  withLaunchOptions(command, 'the VMM that has to load the image (default: all)')
    .option('--json', 'as JSON, for programs')
    .addHelpText('after', '\nExit code: 0 when nothing is found, 1 when something is.')
    .action(async (file: string, { json, ...launch }: LaunchOptions & { json?: boolean }) => {
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
