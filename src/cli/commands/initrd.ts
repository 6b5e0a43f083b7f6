import { statSync } from 'node:fs';
import type { Command } from 'commander';
import { type ErrorWhere, formatPlaced } from '../../errors/igvm-error';
import { counted, printable, withCommas } from '../../errors/printable';
import { shownPath } from '../../files/file-failure';
import type { InitChoice } from '../../initrd/guest-init';
import type { Compression, InitrdOptions as Initrd } from '../../initrd/load-initrd';
import type { OutputReference } from '../../resources/resource-reference';
import { type Caller, commandLine } from '../caller';
import type { CliEnvironment } from '../cli';
import { addDownloadOptions, downloadDisplay, type DownloadSettings } from './fetch';

/** Options that `nx-igvm initrd` and `nx-igvm:initrd` share. */
export interface InitrdOptions extends DownloadSettings {
  private?: boolean;
}

/** Settings for which the command line and a task of Nx have different sources. */
export interface InitrdSetting {
  /** An initrd.json. On the command line it may also be a folder, which is packed as it is. */
  source: string;
  /** These take precedence over an initrd.json. */
  compression?: Compression;
  init?: InitChoice;
  /** The path of the initramfs, given the usual name for its compression. */
  output: (name: string) => string;
  /** The workspace of a task. Content from outside of it is reported. */
  workspaceRoot?: string;
  /** Refuses outputs of other targets that Nx can't track. */
  checkOutput?: (reference: OutputReference, where: ErrorWhere) => void;
}

/**
 * Packs an initramfs and reports its size.
 * @throws IgvmError as loadInitrd, fetchInitrdUrls and packInitrd do; FILE_UNWRITABLE for an output that is the source
 */
export async function packFolder(options: InitrdOptions, caller: Caller, setting: InitrdSetting): Promise<void> {
  const { INITRD_NAMES } = require('../../initrd/load-initrd') as typeof import('../../initrd/load-initrd');
  const { checkNotInputs } = require('../../files/atomic-output') as typeof import('../../files/atomic-output');
  const { notExecutableWarning, packInitrd } =
    require('../../initrd/pack-initrd') as typeof import('../../initrd/pack-initrd');
  const { source, workspaceRoot } = setting;
  const path = caller.at(source);
  const initrd: Omit<Initrd, 'output'> =
    workspaceRoot === undefined && isFolder(path)
      ? { folder: path, compression: 'none' }
      : await readConfig(options, caller, setting);
  const { compression = initrd.compression, init = initrd.init } = setting;
  const output = caller.at(setting.output(INITRD_NAMES[compression]));
  checkNotInputs([output], [path]);
  const { size, archiveSize, entryCount, notExecutable, withoutInit } = await packInitrd({
    ...initrd,
    ...(init === undefined ? {} : { init }),
    compression,
    private: options.private,
    output,
  });
  const warnings = [
    workspaceRoot === undefined || initrd.folder === undefined ? undefined : outsideNote(workspaceRoot, initrd.folder),
    withoutInit,
    notExecutableWarning(notExecutable),
  ];
  for (const warning of warnings) if (warning !== undefined) caller.warn(printable(warning));
  const unpacked = compression === 'none' ? '' : `, ${withCommas(archiveSize)} before ${compression}`;
  const entries = counted(entryCount, 'entry', 'entries');
  caller.info(`${printable(caller.display(output))}: ${counted(size, 'byte')}${unpacked}, ${entries}`);
}

/** Reads an initrd.json, and downloads everything that it names by URL. */
async function readConfig(
  options: DownloadSettings,
  caller: Caller,
  { source, workspaceRoot, checkOutput }: InitrdSetting,
): Promise<Omit<Initrd, 'output'>> {
  const { fetchInitrdUrls, loadInitrd } =
    require('../../initrd/load-initrd') as typeof import('../../initrd/load-initrd');
  const path = caller.at(source);
  const shown = downloadDisplay(options, caller);
  const fetched = await fetchInitrdUrls(path, { display: source, workspaceRoot }, shown).finally(() => shown.stop());
  const { warnings, ...initrd } = loadInitrd(path, source, workspaceRoot, checkOutput, fetched);
  for (const { message, where } of warnings) caller.warn(formatPlaced(message, where));
  return initrd;
}

/** A path that can't be examined doesn't count as a folder. Reading it as an initrd.json gives the reason. */
function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** A remark for reviewers about contents from outside the workspace. @param folder absolute path */
function outsideNote(root: string, folder: string): string | undefined {
  const { isInside, leadsOut } = require('../../files/regular-file') as typeof import('../../files/regular-file');
  if (!isInside(root, folder)) return `the packed folder is outside the workspace: ${folder}`;
  const shown = shownPath(root, folder);
  return leadsOut(root, folder) ? `the packed folder leads out of the workspace through a link: ${shown}` : undefined;
}

/** `nx-igvm initrd FOLDER` */
export function registerInitrd(program: Command, environment: CliEnvironment): void {
  const { INIT_CHOICES } = require('../../initrd/guest-init') as typeof import('../../initrd/guest-init');
  const command = program
    .command('initrd')
    .description('pack a folder into a reproducible initramfs (cpio newc)')
    .argument('<source>', 'the folder, or an initrd.json with the folder, device nodes, links and modes')
    .option(
      '-o, --output <file>',
      'the file to write (default: initrd.cpio, .cpio.gz or .cpio.zst in the current folder)',
    );
  command
    .addOption(
      command
        .createOption('--compression <format>', 'the compression (default: from initrd.json, otherwise none)')
        .choices(['none', 'gzip', 'zstd']),
    )
    .addOption(
      command
        .createOption(
          '--init <arch>',
          "nx-igvm's small program as /init, or no /init at all (default: from initrd.json)",
        )
        .choices(INIT_CHOICES),
    )
    .option('--private', 'let only the owner read the initramfs (mode 0600)');
  addDownloadOptions(command).action(
    (
      source: string,
      {
        compression,
        init,
        output,
        ...options
      }: InitrdOptions & Pick<InitrdSetting, 'compression' | 'init'> & { output?: string },
    ) => packFolder(options, commandLine(environment), { source, compression, init, output: (name) => output ?? name }),
  );
}
