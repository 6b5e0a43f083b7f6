import { resolve } from 'node:path';
import type { Command } from 'commander';
import { printable } from '../../errors/printable';
import { shownPath } from '../../files/file-failure';
import type { CliEnvironment } from '../cli';

interface ExtractOptions {
  output: string;
  map?: string;
}

/** `nx-igvm extract IMAGE -o FOLDER` */
export function registerExtract(program: Command, environment: CliEnvironment): void {
  program
    .command('extract')
    .description('take an image, or the image in a firmware DLL, apart into files')
    .argument('<image>', 'the image')
    .requiredOption('-o, --output <folder>', 'a new folder for the files')
    .option('-m, --map <file>', 'the map file that names its parts (default: IMAGE.map, where it is)')
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

async function extract({ cwd, stdout }: CliEnvironment, image: string, { output, map }: ExtractOptions): Promise<void> {
  const { extractImage } = require('../../inspect/extract-image') as typeof import('../../inspect/extract-image');
  const display = (path: string): string => shownPath(cwd, path);
  const { regions, contexts, parameterAreas } = await extractImage({
    image: resolve(cwd, image),
    output: resolve(cwd, output),
    map: map === undefined ? undefined : resolve(cwd, map),
    display,
  });
  stdout(
    `${printable(display(resolve(cwd, output)))}: ${regions} regions, ${contexts} VP contexts, ${parameterAreas} parameter areas\n`,
  );
}
