import { type BigIntStats, closeSync, constants, fstatSync, openSync, readSync, realpathSync, statSync } from 'node:fs';
import { isAbsolute, relative, resolve, sep } from 'node:path';

/**
 * Opens files whose names come from someone else. A name in a commit may lead to an endless device, to a pipe without a writer, or into
 * `/proc`, whose files claim to be empty. All of these are refused at once.
 */

/** An open regular file. */
export interface RegularFile {
  readonly fd: number;
  /** As of the time of opening. Nothing must be read beyond this size. */
  readonly stats: BigIntStats;
}

/** Bytes. No image can hold a file of this size. `/proc/kcore` is thousands of times larger. */
const SIZE_LIMIT = 2n ** 36n;

/** Bytes: far more than a manifest, an initrd.json or a resources file needs, and few enough to be parsed at once. */
export const JSON_SIZE_LIMIT = 2 ** 18;

/** Thrown for anything but a regular file, in place of an error of node:fs. */
export class NotRegularError extends Error {
  readonly code = 'ENOTREGULAR';
}

const KINDS = [
  ['isDirectory', 'a directory'],
  ['isFIFO', 'a named pipe'],
  ['isSocket', 'a socket'],
  ['isCharacterDevice', 'a device'],
  ['isBlockDevice', 'a device'],
] as const satisfies readonly (readonly [keyof BigIntStats, string])[];

function checkRegular(stats: BigIntStats): void {
  if (stats.isFile()) return;
  const [, kind] = KINDS.find(([isKind]) => stats[isKind]()) ?? [];
  throw new NotRegularError(
    kind === 'a directory' ? 'it is a directory' : `it is ${kind === undefined ? '' : `${kind}, `}not a regular file`,
  );
}

/**
 * Whether there is data beyond the end of a file. For an ordinary file, a read there returns nothing. For the files of `/proc`, it
 * returns bytes, or fails.
 */
function continuesAt(fd: number, end: number): boolean {
  try {
    return readSync(fd, new Uint8Array(1), 0, 1, end) > 0;
  } catch {
    return true;
  }
}

/**
 * Opens a regular file, or a link to one, for reading. The caller closes `fd`.
 * @throws NotRegularError for everything else, without waiting for it or reading from it; errors of node:fs
 */
export function openRegularFile(path: string): RegularFile {
  // Even opening a device can have effects. The file is checked again below, as the path may lead elsewhere by then.
  checkRegular(statSync(path, { bigint: true }));
  // O_NONBLOCK (not on Windows): a named pipe would otherwise wait for a writer.
  const fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = fstatSync(fd, { bigint: true });
    checkRegular(stats);
    if (stats.size > SIZE_LIMIT) throw new NotRegularError(`it has ${stats.size} bytes, more than any image can hold`);
    if (stats.size === 0n && continuesAt(fd, 0)) {
      throw new NotRegularError('it is a special file of the system (it claims to be empty but has contents)');
    }
    return { fd, stats };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

export interface ReadLimits {
  /** In bytes. A larger file is refused. */
  limit: number;
  /** An absolute folder. A path inside it that leads out of it through links is refused. */
  within?: string | undefined;
}

/**
 * The bytes of a small regular file.
 * @throws NotRegularError also for a file that is too large or changes its size while it is read; errors of node:fs
 */
export function readRegularFile(path: string, { limit, within }: ReadLimits): Buffer {
  if (within !== undefined && leadsOut(within, path)) {
    throw new NotRegularError('it is reached through a link that leads out of the workspace');
  }
  const { fd, stats } = openRegularFile(path);
  try {
    if (stats.size > limit) throw new NotRegularError(`it has ${stats.size} bytes, and the limit is ${limit}`);
    const bytes = Buffer.alloc(Number(stats.size));
    let done = 0;
    while (done < bytes.length) {
      const count = readSync(fd, bytes, done, bytes.length - done, done);
      if (count === 0) break;
      done += count;
    }
    if (done < bytes.length || continuesAt(fd, bytes.length))
      throw new NotRegularError('its size changed while it was read');
    return bytes;
  } finally {
    closeSync(fd);
  }
}

/** Whether a path is a folder or lies inside it, judged by the text of both. */
export function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way.split(sep)[0] !== '..' && !isAbsolute(way);
}

/**
 * Whether a path that seems to lie inside a folder leads out of it through links. For a path that openly lies elsewhere, the result
 * is false.
 * @throws errors of node:fs for a path that doesn't exist
 */
export function leadsOut(folder: string, path: string): boolean {
  const absolute = resolve(folder, path);
  return isInside(folder, absolute) && !isInside(realpathSync(folder), realpathSync(absolute));
}
