import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { formatPlaced } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import type { InitChoice } from '../../initrd/guest-init';
import type { Compression, InitrdOptions } from '../../initrd/load-initrd';
import type { CliEnvironment } from '../cli';
import { addDownloadOptions, downloadDisplay, type DownloadSettings } from '../download-display';

/** `nx-igvm initrd FOLDER` */
export function registerInitrd(program: Command, environment: CliEnvironment): void {
  const { Option } = require('commander') as typeof import('commander');
  const { INIT_CHOICES } = require('../../initrd/guest-init') as typeof import('../../initrd/guest-init');
  const command = program
    .command('initrd')
    .description('pack a folder into a reproducible initramfs (cpio newc)')
    .argument('<source>', 'the folder, or an initrd.json that names it with device nodes, links and modes')
    .option(
      '-o, --output <file>',
      'the file to write (default: initrd.cpio, .cpio.gz or .cpio.zst in the current folder)',
    )
    .addOption(
      new Option('--compression <format>', 'default: what initrd.json says, else none').choices([
        'none',
        'gzip',
        'zstd',
      ]),
    )
    .addOption(
      new Option(
        '--init <arch>',
        'a small program of ours at /init, or none at all (default: what initrd.json says)',
      ).choices(INIT_CHOICES),
    )
    .option('--private', 'let nobody but its owner read the initramfs (mode 0600)');
  addDownloadOptions(command).action(
    async (
      source: string,
      options: DownloadSettings & {
        output?: string;
        compression?: Compression;
        init?: InitChoice;
        private?: boolean;
      },
    ) => {
      const { fetchInitrdUrls, INITRD_NAMES, loadInitrd } =
        require('../../initrd/load-initrd') as typeof import('../../initrd/load-initrd');
      const { checkNotInputs } = require('../../files/atomic-output') as typeof import('../../files/atomic-output');
      const { notExecutableWarning, packInitrd } =
        require('../../initrd/pack-initrd') as typeof import('../../initrd/pack-initrd');
      const path = resolve(environment.cwd, source);
      let initrd: Omit<InitrdOptions, 'output'> = { folder: path, compression: 'none' };
      if (!isFolder(path)) {
        const { cwd, isInteractive } = environment;
        const say = (line: string): void => environment.stderr(`${line}\n`);
        const shown = downloadDisplay(options, { cwd, isInteractive, say });
        const fetched = await fetchInitrdUrls(path, { display: source }, shown).finally(() => shown.stop());
        const { warnings, ...config } = loadInitrd(path, source, undefined, undefined, fetched);
        for (const { message, where } of warnings) environment.stderr(`warning: ${formatPlaced(message, where)}\n`);
        initrd = config;
      }
      const { compression = initrd.compression, init = initrd.init } = options;
      const name = options.output ?? INITRD_NAMES[compression];
      const output = resolve(environment.cwd, name);
      checkNotInputs([output], [path]);
      const { size, archiveSize, entryCount, notExecutable, withoutInit } = await packInitrd({
        ...initrd,
        ...(init === undefined ? {} : { init }),
        compression,
        private: options.private,
        output,
      });
      if (withoutInit !== undefined) environment.stderr(`warning: ${withoutInit}\n`);
      const warning = notExecutableWarning(notExecutable);
      if (warning !== undefined) environment.stderr(`warning: ${printable(warning)}\n`);
      const unpacked = compression === 'none' ? '' : `, ${archiveSize} before ${compression}`;
      environment.stdout(`${printable(name)}: ${size} bytes${unpacked}, ${entryCount} entries\n`);
    },
  );
}

/** What can't be looked at is no folder: reading it as initrd.json says why. */
function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
