import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { InspectFormat } from '../../inspect/inspect-file';
import type { CliEnvironment } from '../cli';
import { shownPath } from '../../files/file-failure';
import { printable } from '../../errors/printable';

interface InspectOptions {
  format: InspectFormat;
  output?: string;
  lock?: string;
}

/** `nx-igvm inspect FILE` */
export function registerInspect(program: Command, environment: CliEnvironment): void {
  const { Option } = require('commander') as typeof import('commander');
  program
    .command('inspect')
    .description('write a page that shows an image: memory map, regions, registers, digests')
    .argument('<file>', 'the image, or a firmware DLL with one')
    .addOption(
      new Option('--format <format>', 'a page for a browser, or what dump shows')
        .choices(['html', 'text', 'json'])
        .default('html'),
    )
    .option('-o, --output <file>', 'the file to write (default: a page beside the image, text and JSON to stdout)')
    .option('--lock <file>', 'a measurement lock: the page says whether the image agrees with it')
    .action(async (file: string, { format, output, lock }: InspectOptions) => {
      const { inspectImage, pagePath } =
        require('../../inspect/inspect-file') as typeof import('../../inspect/inspect-file');
      const target = output ?? (format === 'html' ? pagePath(file) : undefined);
      await inspectImage({
        image: resolve(environment.cwd, file),
        format,
        name: file,
        lock: lock === undefined ? undefined : { path: resolve(environment.cwd, lock), isOptional: false },
        display: (path) => shownPath(environment.cwd, path),
        output: target === undefined ? undefined : resolve(environment.cwd, target),
        write: environment.stdout,
      });
      if (target !== undefined) environment.stdout(`${printable(target)}\n`);
    });
}
