import type { Command } from 'commander';
import { IgvmError } from '../../errors/igvm-error';
import { printable, printableJson } from '../../errors/printable';
import { readMemorySize } from '../../memory/page';
import type { DownloadOptions } from '../../resources/downloads';
import { type Caller, commandLine } from '../caller';
import type { CliEnvironment } from '../cli';

/** Options of commands and executors that download resources with a URL. */
export interface DownloadSettings {
  /** The folder for downloads. */
  downloads?: string | undefined;
  /** The largest download that is allowed, such as `8G`. */
  downloadLimit?: string | undefined;
}

/** Adds the options of a command that may download. */
export const addDownloadOptions = (command: Command): Command =>
  command
    .option(
      '--downloads <folder>',
      "the folder for downloads (default: NX_IGVM_DOWNLOADS, or nx-igvm/downloads in the system's cache folder)",
    )
    .option('--download-limit <size>', 'the largest size of a download, or of the data unpacked from it (default: 4G)');

/** Bytes. A smaller download is over before anybody could read a progress bar. */
const SHOW_ABOVE = 2 ** 20;

/** Options of downloads, and how their progress is shown to a person or in a log. */
export interface DownloadDisplay extends Pick<DownloadOptions, 'folder' | 'limit' | 'cwd' | 'progress'> {
  /** Removes what is shown. */
  stop: () => void;
}

/**
 * The options of downloads with a display of their progress: a bar where a person watches, otherwise a line for each file.
 * @throws IgvmError DOWNLOAD_REFUSED for a limit that is not a size
 */
export function downloadDisplay(
  { downloads, downloadLimit }: DownloadSettings,
  { folder, isInteractive, note }: Pick<Caller, 'folder' | 'isInteractive' | 'note'>,
): DownloadDisplay {
  const shown = isInteractive ? bar() : lines(note);
  return {
    cwd: folder,
    ...(downloads === undefined ? {} : { folder: downloads }),
    ...(downloadLimit === undefined ? {} : { limit: sizeOf(downloadLimit) }),
    ...shown,
  };
}

function sizeOf(text: string): number {
  const size = readMemorySize(text);
  if (size !== undefined) return size;
  throw new IgvmError('DOWNLOAD_REFUSED', `the limit "${text}" is not a size such as 512M or 8G`);
}

type Shown = Required<Pick<DownloadDisplay, 'progress' | 'stop'>>;

function lines(note: (line: string) => void): Shown {
  const seen = new Set<string>();
  return {
    progress(url, _, total) {
      if (seen.has(url)) return;
      seen.add(url);
      note(printable(`downloading ${url}${total === undefined ? '' : ` (${total} bytes)`}`));
    },
    stop: () => undefined,
  };
}

const mebibytes = (bytes: number): number => Math.floor(bytes / 2 ** 20);

function bar(): Shown {
  const { Presets, SingleBar } = require('cli-progress') as typeof import('cli-progress');
  let current: { url: string; bar: InstanceType<typeof SingleBar> } | undefined;
  const stop = (): void => {
    current?.bar.stop();
    current = undefined;
  };
  return {
    progress(url, done, total) {
      if (done < SHOW_ABOVE && (total ?? 0) < SHOW_ABOVE) return;
      if (current?.url !== url) {
        stop();
        const format = `{bar} {percentage}% of {total} MiB: ${printable(url)}`;
        current = { url, bar: new SingleBar({ format, clearOnComplete: true }, Presets.shades_classic) };
        current.bar.start(mebibytes(total ?? done), mebibytes(done));
      }
      // The size that a server states may be missing or wrong.
      if (done > (total ?? 0)) current.bar.setTotal(mebibytes(done));
      current.bar.update(mebibytes(done));
      if (done === total) stop();
    },
    stop,
  };
}

interface UrlOptions extends DownloadSettings {
  member?: string;
  sha256?: string;
}

/** `nx-igvm fetch URL` */
export function registerFetch(program: Command, environment: CliEnvironment): void {
  const command = program
    .command('fetch')
    .description('download a file for a manifest, and print the resource to paste')
    .argument('<url>', 'the https or http URL of the file, or of an archive that contains it')
    .option('-m, --member <path>', 'the file in the archive: tar (also with gzip, xz or zstd), .deb, .rpm or .zip')
    .option('--sha256 <digest>', 'the expected SHA-256 of the download; without this, the command prints it');
  addDownloadOptions(command).action((url: string, options: UrlOptions) =>
    fetchUrl(url, options, commandLine(environment)),
  );
}

async function fetchUrl(url: string, { member, sha256, ...settings }: UrlOptions, caller: Caller): Promise<void> {
  const { fetchReference, fetchUnpinned } =
    require('../../resources/downloads') as typeof import('../../resources/downloads');
  const { parseUrl, withoutPassword } =
    require('../../resources/resource-reference') as typeof import('../../resources/resource-reference');
  const { stop, ...options } = downloadDisplay(settings, caller);
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
    if (open !== given.href) caller.warn('the password of the URL is left out of the resource');
    caller.note(printable(`saved as ${download.path}`));
    caller.info(printableJson({ url: open, sha256: seen, ...(member === undefined ? {} : { member }) }));
  } finally {
    stop();
  }
}

/** Options of `nx-igvm:fetch`. Paths are relative to the workspace. */
export interface FetchOptions extends DownloadSettings {
  manifest: string;
}

/** Downloads everything that the images of a manifest use by URL. */
export async function fetchManifest({ manifest, ...settings }: FetchOptions, caller: Caller): Promise<void> {
  const { loadManifest } = require('../../manifest/load-manifest') as typeof import('../../manifest/load-manifest');
  const { fetchUrls } =
    require('../../resources/resolve-resources') as typeof import('../../resources/resolve-resources');
  const path = caller.at(manifest);
  const display = caller.display(path);
  const loaded = loadManifest(path, { within: caller.folder, display });
  const shown = downloadDisplay(settings, caller);
  const fetched = await fetchUrls(loaded, shown).finally(() => shown.stop());
  for (const { display: name } of fetched.values()) caller.info(`${printable(name)} is downloaded`);
  if (fetched.size === 0) caller.info(`${printable(display)} names no URL that its images use`);
}
