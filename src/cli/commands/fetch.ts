import type { Command } from 'commander';
import { printable, printableJson } from '../../errors/printable';
import type { CliEnvironment } from '../cli';
import { addDownloadOptions, downloadDisplay, type DownloadSettings } from '../download-display';

interface FetchOptions extends DownloadSettings {
  member?: string;
  sha256?: string;
}

/** `nx-igvm fetch URL` */
export function registerFetch(program: Command, environment: CliEnvironment): void {
  const command = program
    .command('fetch')
    .description('download a file that a manifest is to name, and print the resource that names it')
    .argument('<url>', 'the file, or an archive with it: https or http')
    .option('-m, --member <path>', 'the file in the archive: tar (also with gzip, xz or zstd), .deb, .rpm or .zip')
    .option('--sha256 <digest>', 'what the download has to have; without this the command says what it has');
  addDownloadOptions(command).action(async (url: string, { member, sha256, ...settings }: FetchOptions) => {
    const { fetchReference, fetchUnpinned } =
      require('../../resources/downloads') as typeof import('../../resources/downloads');
    const { parseUrl, withoutPassword } =
      require('../../resources/resource-reference') as typeof import('../../resources/resource-reference');
    const { cwd, isInteractive, stderr, stdout } = environment;
    const say = (line: string): void => stderr(`${line}\n`);
    const { stop, ...options } = downloadDisplay(settings, { cwd, isInteractive, say });
    const named = { url, ...(member === undefined ? {} : { member }) };
    try {
      const pinned = sha256?.toLowerCase();
      const { sha256: seen, download } =
        pinned === undefined
          ? await fetchUnpinned(named, options)
          : { sha256: pinned, download: await fetchReference({ kind: 'url', ...named, sha256: pinned }, {}, options) };
      stop();
      const given = parseUrl(url);
      const open = withoutPassword(given);
      if (open !== given.href) stderr('warning: the password of the URL is left out of the resource\n');
      say(printable(`kept as ${download.path}`));
      stdout(`${printableJson({ url: open, sha256: seen, ...(member === undefined ? {} : { member }) })}\n`);
    } finally {
      stop();
    }
  });
}
