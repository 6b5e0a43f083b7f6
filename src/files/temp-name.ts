import { basename, dirname, join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { PROCESS_MARK, processMark, processOf } from './process-mark';

/**
 * Names of the files that an unfinished build writes beside its outputs: `.nx-igvm-PROCESS-NUMBER.nx-igvm-tmp`. They say who
 * writes them, so that a later build can tell a killed build's leftovers from a running build's files. They don't hold the
 * output's own name: that may be as long as a name can be.
 */
const TEMP_NAME = new RegExp(`^\\.nx-igvm-${PROCESS_MARK.source}-\\d+\\.nx-igvm-tmp$`);

/** A leftover whose process nobody can look for is removed when it is this old (milliseconds). */
const ABANDONED_AFTER = 24 * 60 * 60 * 1000;

/** The temporary files of this thread. */
const live = new Set<string>();

/** The number of the next name. Threads of a process share its mark, and each has an instance of this module. */
let counter = threadId * 2 ** 32;

/** A new temporary path beside `target`. It counts as in use until {@link releaseTempPath}. */
export function claimTempPath(target: string): string {
  const path = join(dirname(target), `.nx-igvm-${processMark()}-${counter++}.nx-igvm-tmp`);
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
  const mark = TEMP_NAME.exec(basename(path));
  if (mark === null || live.has(path)) return false;
  if (now - modified > ABANDONED_AFTER) return true;
  return processOf(mark) === 'gone';
}

/** Whether the name is one of ours, whoever's it is. */
export const isTempName = (name: string): boolean => TEMP_NAME.test(name);
