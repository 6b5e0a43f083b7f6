import { type BigIntStats, type Stats, statSync } from 'node:fs';

/**
 * Who may have access to what is made of some files: a mask of permission bits that lacks those of others, and of the group,
 * where they may not read one of the files. Everything on systems without permission bits.
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
  // An output gets this process's group, which may have other members than that of the file.
  const isSameGroup = process.getegid === undefined || Number(stats.gid) === process.getegid();
  return OWNER_ONLY | (othersMay ? OTHERS : 0) | (groupMay && (othersMay || isSameGroup) ? GROUP : 0);
}

/** Who may read all of some files. One that can't be looked at counts for nothing: reading it says why. */
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

/** How a new file is made, or one that replaces another. */
export interface NewMode {
  /** The bits to make it with; the process's umask takes some away. */
  make: number;
  /** The bits to give it then, if they are known exactly. */
  exact?: number;
}

/**
 * A file that replaces another keeps its bits, so that what was private stays so. Of one of another user it keeps only what
 * that user may decide: that fewer may read it.
 * @param access who may have access at most
 */
export function modeOfOutput(access: Access, replaced?: Pick<Stats, 'mode' | 'uid'>): NewMode {
  if (replaced === undefined) return { make: access & 0o666 };
  const kept = replaced.mode & access & 0o777;
  const isOwn = process.getuid === undefined || replaced.uid === process.getuid();
  return isOwn ? { make: kept & 0o600, exact: kept } : { make: kept & 0o666 };
}

/**
 * Permission bits without those of the group if the file lies in another one than {@link accessOf} assumed: some folders hand
 * theirs on.
 */
export function withoutForeignGroup(mode: number, group: number, access: Access): number {
  const isForGroupAlone = (access & GROUP) !== 0 && (access & OTHERS) === 0;
  const isForeign = process.getegid !== undefined && group !== process.getegid();
  return isForGroupAlone && isForeign ? mode & ~GROUP : mode;
}
