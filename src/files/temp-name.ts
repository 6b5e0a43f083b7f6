import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { threadId } from 'node:worker_threads';

/**
 * Names of the files that an unfinished build writes: `.NAME.HOST-PID-NUMBER.nx-igvm-tmp` beside the output NAME. They
 * say who writes them, so that a later build can tell a killed build's leftovers from a running build's files, and they
 * don't depend on what is written.
 */
const TEMP_NAME = /^\..+\.([0-9a-f]{8})-(\d+)-\d+\.nx-igvm-tmp$/;

/** A leftover of an unknown machine or of a process number in use is removed when it is this old (milliseconds). */
const ABANDONED_AFTER = 24 * 60 * 60 * 1000;

/** Process numbers mean nothing on another machine, or in another container, that shares the folder. */
const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);

/** The temporary files of this thread. */
const live = new Set<string>();

/** The number of the next name. Threads of a process share its number, and each has an instance of this module. */
let counter = threadId * 2 ** 32;

/** A new temporary path beside `target`. It counts as in use until {@link releaseTempPath}. */
export function claimTempPath(target: string): string {
  const path = join(dirname(target), `.${basename(target)}.${HOST}-${process.pid}-${counter++}.nx-igvm-tmp`);
  live.add(path);
  return path;
}

/** The temporary file is renamed or removed. */
export const releaseTempPath = (path: string): void => void live.delete(path);

/**
 * Whether a file is what a build that no longer runs left behind.
 * @param path of the file
 * @param modified its modification time in milliseconds
 * @param now the time in milliseconds
 */
export function isLeftover(path: string, modified: number, now = Date.now()): boolean {
  const match = TEMP_NAME.exec(basename(path));
  if (match === null || live.has(path)) return false;
  if (now - modified > ABANDONED_AFTER) return true;
  if (match[1] !== HOST) return false;
  const pid = Number(match[2]);
  // In a container every build may have the same number: then what is older than this process is not its own.
  if (pid === process.pid) return modified < now - process.uptime() * 1000;
  return !isAlive(pid);
}

/** Whether the name is one of ours, whoever's it is. */
export const isTempName = (name: string): boolean => TEMP_NAME.test(name);

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
