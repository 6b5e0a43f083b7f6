import { type BigIntStats, closeSync, constants, fstatSync, openSync, readSync, realpathSync, statSync } from 'node:fs';
import { isAbsolute, relative, resolve, sep } from 'node:path';

/**
 * Opening files that come from someone else: a name in a commit may lead to a device without end, to a pipe that nobody
 * writes to, or into `/proc`, whose files say that they are empty. Whatever it is, the answer is immediate.
 */

/** An open regular file. */
export interface RegularFile {
  readonly fd: number;
  /** At the time of opening. Nothing is to be read past this size. */
  readonly stats: BigIntStats;
}

/** Bytes. No image can hold a file of this size; `/proc/kcore` has thousands of times as much. */
const SIZE_LIMIT = 2n ** 36n;

/** Bytes: far more than a manifest, an initrd.json or a resources file has, and little enough to be parsed at once. */
export const JSON_SIZE_LIMIT = 2 ** 18;

/** Thrown for what isn't a regular file, in place of an error of node:fs. */
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
 * Whether there is something behind the end of a file. Where nothing is, an ordinary file answers with "nothing"; those of
 * `/proc` answer with bytes, or that this is no way to read them.
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
 * @throws NotRegularError for everything else, without waiting for it or reading from it; the errors of node:fs
 */
export function openRegularFile(path: string): RegularFile {
  // Opening alone makes some devices do something. What the path leads to may change right after this look, though.
  checkRegular(statSync(path, { bigint: true }));
  // O_NONBLOCK (not on Windows): a named pipe would otherwise wait for a writer.
  const fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = fstatSync(fd, { bigint: true });
    checkRegular(stats);
    if (stats.size > SIZE_LIMIT) throw new NotRegularError(`${stats.size} bytes are more than any image can hold`);
    if (stats.size === 0n && continuesAt(fd, 0)) {
      throw new NotRegularError('it is made up by the system (it claims to be empty, but has contents)');
    }
    return { fd, stats };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

export interface ReadLimits {
  /** Bytes: a larger file is refused. */
  limit: number;
  /** An absolute folder. A path inside it that leads out of it by way of links is refused. */
  within?: string | undefined;
}

/**
 * The bytes of a small regular file.
 * @throws NotRegularError also for a file that is too large or changes its size meanwhile; the errors of node:fs
 */
export function readRegularFile(path: string, { limit, within }: ReadLimits): Buffer {
  if (within !== undefined && leadsOut(within, path)) {
    throw new NotRegularError('it is a link, or lies behind one, that leads out of the workspace');
  }
  const { fd, stats } = openRegularFile(path);
  try {
    if (stats.size > limit) throw new NotRegularError(`${stats.size} bytes are too many, the limit is ${limit}`);
    const bytes = Buffer.alloc(Number(stats.size));
    let done = 0;
    while (done < bytes.length) {
      const count = readSync(fd, bytes, done, bytes.length - done, done);
      if (count === 0) break;
      done += count;
    }
    if (done < bytes.length || continuesAt(fd, bytes.length)) throw new NotRegularError('its size changed meanwhile');
    return bytes;
  } finally {
    closeSync(fd);
  }
}

/** Whether a path lies in a folder, or is it, as both are written. */
export function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way.split(sep)[0] !== '..' && !isAbsolute(way);
}

/**
 * Whether a path that lies inside a folder, as it is written, is somewhere else by way of links. One that lies elsewhere
 * by itself hides nothing.
 * @throws the errors of node:fs for what doesn't exist
 */
export function leadsOut(folder: string, path: string): boolean {
  const absolute = resolve(folder, path);
  return isInside(folder, absolute) && !isInside(realpathSync(folder), realpathSync(absolute));
}
