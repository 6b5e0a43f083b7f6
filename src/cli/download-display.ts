import type { Command } from 'commander';
import { IgvmError } from '../errors/igvm-error';
import { printable } from '../errors/printable';
import { readMemorySize } from '../memory/page';
import type { DownloadOptions } from '../resources/downloads';

/** What commands and executors take for resources with a URL. */
export interface DownloadSettings {
  /** The folder for downloads. */
  downloads?: string | undefined;
  /** The most that a download may have, such as `8G`. */
  downloadLimit?: string | undefined;
}

/** Adds what commands take that may download. */
export const addDownloadOptions = (command: Command): Command =>
  command
    .option(
      '--downloads <folder>',
      'the folder for downloads (default: NX_IGVM_DOWNLOADS, or nx-igvm/downloads in the cache folder of the system)',
    )
    .option('--download-limit <size>', 'the most that a download, or what is unpacked of it, may have (default: 4G)');

/** Downloads that are over sooner are not worth a bar: bytes. */
const SHOW_ABOVE = 2 ** 20;

/** How downloads go on, for a person or for a log. */
export interface DownloadDisplay extends Pick<DownloadOptions, 'folder' | 'limit' | 'cwd' | 'progress'> {
  /** Removes what is shown. */
  stop: () => void;
}

/**
 * Options of downloads, with what is said of them: a bar where a person watches, otherwise a line for each file.
 * @param cwd what a relative folder is relative to
 * @param say takes a line
 * @throws IgvmError DOWNLOAD_REFUSED for a limit that is no size
 */
export function downloadDisplay(
  { downloads, downloadLimit }: DownloadSettings,
  { cwd, isInteractive, say }: { cwd: string; isInteractive: boolean; say: (line: string) => void },
): DownloadDisplay {
  const shown = isInteractive ? bar() : lines(say);
  return {
    cwd,
    ...(downloads === undefined ? {} : { folder: downloads }),
    ...(downloadLimit === undefined ? {} : { limit: sizeOf(downloadLimit) }),
    ...shown,
  };
}

function sizeOf(text: string): number {
  const size = readMemorySize(text);
  if (size !== undefined) return size;
  throw new IgvmError('DOWNLOAD_REFUSED', `the limit "${text}" is no size, such as 512M or 8G`);
}

type Shown = Required<Pick<DownloadDisplay, 'progress' | 'stop'>>;

function lines(say: (line: string) => void): Shown {
  const said = new Set<string>();
  return {
    progress(url, _, total) {
      if (said.has(url)) return;
      said.add(url);
      say(printable(`downloading ${url}${total === undefined ? '' : ` (${total} bytes)`}`));
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
      // What a server says of the size may be missing or wrong.
      if (done > (total ?? 0)) current.bar.setTotal(mebibytes(done));
      current.bar.update(mebibytes(done));
      if (done === total) stop();
    },
    stop,
  };
}
