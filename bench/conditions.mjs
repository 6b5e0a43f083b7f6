// The same conditions for all measurements: inputs without repetition, and a machine in a known state.
import { execFileSync } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';

const MIB = 1024 * 1024;

/** A program that allocates some MiB of memory, writes to them and ends. */
const TOUCH =
  'for (let left = Number(process.argv[1]), all = []; left > 0; left--) all.push(Buffer.alloc(2 ** 20, 1));';

/** Bytes of memory to touch for each byte of output: more than needed, because other programs use some in the meantime. */
const SPARE = 1.25;

/** A file of random bytes, the same in every run. */
export function writeNoise(path, size) {
  const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16, 1), Buffer.alloc(16));
  const zeros = Buffer.alloc(MIB);
  const fd = openSync(path, 'w');
  for (let at = 0; at < size; at += MIB) writeSync(fd, noise.update(zeros.subarray(0, Math.min(MIB, size - at))));
  closeSync(fd);
}

/** Reads a file into the system's cache, in case another program has displaced it. */
function readThrough(path) {
  const chunk = Buffer.alloc(MIB);
  const fd = openSync(path, 'r');
  while (readSync(fd, chunk) > 0);
  closeSync(fd);
}

/**
 * Calls `run` after flushing earlier writes, with its input in memory, and with enough physical memory for its output. A virtual
 * machine may have returned memory to the host, and the first program to use it waits longer than copying takes. So a file of that
 * size is written and removed, which leaves the memory that the next file gets. (A program that allocates memory and ends doesn't:
 * 0.8 s of processor time instead of 0.35 s for 256 MiB.)
 * @param mib size of the output
 * @param memory MiB that the run needs in addition
 */
export const settled =
  (mib, input, run, memory = 0) =>
  () => {
    execFileSync('sync');
    if (memory > 0) execFileSync(process.execPath, ['-e', TOUCH, String(Math.ceil(memory))]);
    readThrough(input);
    writeNoise(`${input}.spare`, Math.ceil(mib * SPARE) * MIB);
    rmSync(`${input}.spare`);
    return run();
  };
