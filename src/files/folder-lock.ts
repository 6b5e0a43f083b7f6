import { closeSync, fstatSync, futimesSync, lstatSync, openSync, rmSync, type BigIntStats } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { errnoOf, unwritable } from './file-failure';

/** The name of the lock file of a folder. */
export const LOCK_NAME = '.nx-igvm-lock';

/**
 * A lock is held for milliseconds. One that stays as it is for this long (milliseconds) belongs to nobody: its process was
 * killed, or someone else put it there. Measured here, as clocks of other machines may differ.
 */
const ABANDONED_AFTER = 1000;

/** All in all nobody waits for longer than this (milliseconds). */
const MOST_PATIENCE = 5_000;

/** Milliseconds between two attempts. */
const POLL = 5;

/** A lock that is held. */
export interface FolderLock {
  /** Says that its holder is at work. */
  refresh(): void;
  release(): void;
}

/**
 * Waits until nobody else renames files in the folder of `path`, so that files that belong together get their names together.
 * The lock is a file that only one process can make. It is advice: a file that is in the way delays a build by a second
 * and stops none.
 * @throws IgvmError FILE_UNWRITABLE
 */
export const lockFolder = (path: string): Promise<FolderLock> =>
  lockFile(join(dirname(resolve(path)), LOCK_NAME), path, { abandonedAfter: ABANDONED_AFTER, patience: MOST_PATIENCE });

/** How long others wait for a lock. Milliseconds. */
export interface LockTimes {
  /** A lock that nobody refreshes for this long belongs to nobody. */
  abandonedAfter: number;
  /** Nobody waits for longer than this, and goes on without a lock then. */
  patience: number;
}

/**
 * Waits for a lock, which is a file that only one process can make. Advice, as that of a folder.
 * @param lock its path
 * @param path what messages name
 * @throws IgvmError FILE_UNWRITABLE
 */
export async function lockFile(
  lock: string,
  path: string,
  { abandonedAfter, patience }: LockTimes,
): Promise<FolderLock> {
  const start = performance.now();
  let seen: { state: string; since: number } | undefined;
  for (;;) {
    const made = tryToMake(lock, path);
    if (made !== undefined) return made;
    const state = stateOf(lock);
    const now = performance.now();
    if (state === undefined) continue;
    if (state === NO_FILE || now - start > patience) return NOT_NEEDED;
    if (seen?.state !== state) seen = { state, since: now };
    if (now - seen.since > abandonedAfter) {
      if (!removeAbandoned(lock, state)) return NOT_NEEDED;
    } else {
      await setTimeout(POLL);
    }
  }
}

/** Where there can be no lock. */
const NOT_NEEDED: FolderLock = { refresh: () => undefined, release: () => undefined };

/** Something that nobody locks with: a folder, a link, a pipe. */
const NO_FILE = 'no file';

/** @returns nothing when there is a lock */
function tryToMake(lock: string, path: string): FolderLock | undefined {
  let fd: number;
  try {
    fd = openSync(lock, 'wx', 0o600);
  } catch (error) {
    // Windows reports a lock that is just being removed as EPERM.
    if (errnoOf(error) === 'EEXIST' || (errnoOf(error) === 'EPERM' && stateOf(lock) !== undefined)) return undefined;
    throw unwritable(path, error);
  }
  const own = identityOf(fstatSync(fd, { bigint: true }));
  return {
    refresh() {
      const now = new Date();
      ignoringFailure(() => futimesSync(fd, now, now));
    },
    release() {
      ignoringFailure(() => closeSync(fd));
      ignoringFailure(() => {
        const present = lstatSync(lock, { bigint: true, throwIfNoEntry: false });
        // A holder that was stopped for a while may find the lock of another one.
        if (present !== undefined && identityOf(present) === own) rmSync(lock, { force: true });
      });
    },
  };
}

/** A lock that can't be kept or removed delays the next build by a second, and is no reason to fail this one. */
function ignoringFailure(work: () => void): void {
  try {
    work();
  } catch {
    // As above.
  }
}

const identityOf = ({ dev, ino }: BigIntStats): string => `${dev}:${ino}`;

/** What changes while a lock is in use; nothing when there is none. */
function stateOf(lock: string): string | undefined {
  const stats = lstatSync(lock, { bigint: true, throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  return stats.isFile() ? `${identityOf(stats)}:${stats.mtimeNs}` : NO_FILE;
}

/** @returns whether it is gone; someone else may have been faster */
function removeAbandoned(lock: string, state: string): boolean {
  try {
    if (stateOf(lock) === state) rmSync(lock, { force: true });
    return true;
  } catch {
    return false;
  }
}
