import { closeSync, fstatSync, futimesSync, lstatSync, openSync, rmSync, type BigIntStats } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { errnoOf, unwritable } from './file-failure';

/** The name of the lock file of a folder. */
export const LOCK_NAME = '.nx-igvm-lock';

/**
 * A lock is held for milliseconds. If a lock does not change for this long (milliseconds), its process was killed, or the file is not
 * a lock at all. The time is measured by this process, because the clocks of other machines may differ.
 */
const ABANDONED_AFTER = 1000;

/** The longest time to wait in all (milliseconds). */
const MOST_PATIENCE = 5_000;

/** Milliseconds between two attempts. */
const POLL = 5;

/** A lock that this process holds. */
export interface FolderLock {
  /** Shows other processes that the holder is still running. */
  refresh(): void;
  release(): void;
}

/**
 * Waits until no other process renames files in the folder of `path`, so that files that belong together get their names together.
 * The lock is a file that only one process can create. It is advisory: a stray file of its name delays a build by a second, but
 * never stops it.
 * @throws IgvmError FILE_UNWRITABLE
 */
export const lockFolder = (path: string): Promise<FolderLock> =>
  lockFile(join(dirname(resolve(path)), LOCK_NAME), path, { abandonedAfter: ABANDONED_AFTER, patience: MOST_PATIENCE });

/** How long other processes wait for a lock, in milliseconds. */
export interface LockTimes {
  /** A lock that is not refreshed for this long is abandoned. */
  abandonedAfter: number;
  /** After this time, a process goes on without the lock. */
  patience: number;
}

/**
 * Waits for a lock, which is a file that only one process can create. It is advisory, like the lock of a folder.
 * @param lock its path
 * @param path the path for messages
 * @throws IgvmError FILE_UNWRITABLE
 */
export async function lockFile(
  lock: string,
  path: string,
  { abandonedAfter, patience }: LockTimes,
): Promise<FolderLock> {
  const start = monotonicTime();
  let seen: { state: string; since: number } | undefined;
  for (;;) {
    const made = tryToMake(lock, path);
    if (made !== undefined) return made;
    const state = stateOf(lock);
    const now = monotonicTime();
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

/** Milliseconds. Not by `performance`, which takes as long to load as a lock is held. */
const monotonicTime = (): number => process.uptime() * 1000;

/** For a process that goes on without a lock. */
const NOT_NEEDED: FolderLock = { refresh: () => undefined, release: () => undefined };

/** The state of something that is never a lock: a folder, a link, a pipe. */
const NO_FILE = 'no file';

/** @returns undefined when there is a lock already */
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
        // A process that was suspended for a while may find the lock of another process.
        if (present !== undefined && identityOf(present) === own) rmSync(lock, { force: true });
      });
    },
  };
}

/** A lock that can't be refreshed or removed delays the next build by a second, but must not fail this one. */
function ignoringFailure(work: () => void): void {
  try {
    work();
  } catch {
    // As above.
  }
}

const identityOf = ({ dev, ino }: BigIntStats): string => `${dev}:${ino}`;

/** A text that changes while a lock is in use; undefined when there is no lock. */
function stateOf(lock: string): string | undefined {
  const stats = lstatSync(lock, { bigint: true, throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  return stats.isFile() ? `${identityOf(stats)}:${stats.mtimeNs}` : NO_FILE;
}

/** @returns whether the lock is gone; another process may have removed it */
function removeAbandoned(lock: string, state: string): boolean {
  try {
    if (stateOf(lock) === state) rmSync(lock, { force: true });
    return true;
  } catch {
    return false;
  }
}
