// The same conditions for everything that is measured: inputs that neither compress nor repeat, and a machine at rest.
import { execFileSync } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';

const MIB = 1024 * 1024;

/** A program that takes some MiB of memory, writes to them and ends. */
const TOUCH =
  'for (let left = Number(process.argv[1]), all = []; left > 0; left--) all.push(Buffer.alloc(2 ** 20, 1));';

/** Memory that is touched for each byte of output: more than it takes, as others take some in between. */
const SPARE = 1.25;

/** A file of noise, the same in every run. */
export function writeNoise(path, size) {
  const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16, 1), Buffer.alloc(16));
  const zeros = Buffer.alloc(MIB);
  const fd = openSync(path, 'w');
  for (let at = 0; at < size; at += MIB) writeSync(fd, noise.update(zeros.subarray(0, Math.min(MIB, size - at))));
  closeSync(fd);
}

/** Has the system keep a file's content in memory, from where a program that took a lot may have driven it out. */
function readThrough(path) {
  const chunk = Buffer.alloc(MIB);
  const fd = openSync(path, 'r');
  while (readSync(fd, chunk) > 0);
  closeSync(fd);
}

/**
 * What `run` does, with all that earlier runs left written out, its input in memory, and as much free memory as its output
 * will take really there: a virtual machine may have given it back, and whoever touches it first waits for the host, for
 * longer than the copying takes. So a file of that size is written and removed, which leaves just the memory that the next
 * file gets. (A program that takes memory and ends doesn't: 0.8 s of processor time instead of 0.35 s for 256 MiB.)
 * @param mib size of the output
 * @param memory MiB of its own that it will take besides
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
