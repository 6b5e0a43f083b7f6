import { type BigIntStats, type Stats, statSync } from 'node:fs';

/**
 * Who may have access to the output made from some input files, as a mask of permission bits. It lacks the bits of others, and of
 * the group, if they may not read all of the inputs. On systems without permission bits, it has all bits.
 */
export type Access = number;

export const EVERYONE: Access = 0o777;
export const OWNER_ONLY: Access = 0o700;

const OTHERS = 0o007;
const GROUP = 0o070;

/** Who may read a file, or list a folder and reach what is in it. */
export function accessOf(stats: Stats | BigIntStats): Access {
  const mode = Number(stats.mode);
  const needed = stats.isDirectory() ? 0o5 : 0o4;
  const othersMay = (mode & needed) === needed;
  const groupMay = (mode & (needed << 3)) === needed << 3;
  // An output gets the group of this process, which may have other members than the group of the file.
  const isSameGroup = process.getegid === undefined || Number(stats.gid) === process.getegid();
  return OWNER_ONLY | (othersMay ? OTHERS : 0) | (groupMay && (othersMay || isSameGroup) ? GROUP : 0);
}

/** Who may read all of some files. A file that can't be examined is ignored: reading it reports why. */
export function accessOfFiles(paths: Iterable<string>): Access {
  let access = EVERYONE;
  for (const path of paths) {
    try {
      access &= accessOf(statSync(path));
    } catch {
      // As above.
    }
  }
  return access;
}

/** The permission bits for a new file, or for one that replaces another. */
export interface NewMode {
  /** The bits to create it with, minus those of the process's umask. */
  make: number;
  /** The bits to set afterwards, if they are known exactly. */
  exact?: number;
}

/**
 * A file that replaces another keeps the bits of that file, so that a private file stays private. If the old file belongs to another
 * user, its bits can only restrict access further.
 * @param access the most that the bits may allow
 */
export function modeOfOutput(access: Access, replaced?: Pick<Stats, 'mode' | 'uid'>): NewMode {
  if (replaced === undefined) return { make: access & 0o666 };
  const kept = replaced.mode & access & 0o777;
  const isOwn = process.getuid === undefined || replaced.uid === process.getuid();
  return isOwn ? { make: kept & 0o600, exact: kept } : { make: kept & 0o666 };
}

/**
 * Permission bits, without those of the group if the file has another group than {@link accessOf} assumed: some folders pass their
 * group on to new files.
 */
export function withoutForeignGroup(mode: number, group: number, access: Access): number {
  const isForGroupAlone = (access & GROUP) !== 0 && (access & OTHERS) === 0;
  const isForeign = process.getegid !== undefined && group !== process.getegid();
  return isForGroupAlone && isForeign ? mode & ~GROUP : mode;
}
