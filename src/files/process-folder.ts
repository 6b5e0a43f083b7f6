import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unwritable } from './file-failure';

/** `nx-igvm-PURPOSE-PID-RANDOM`: the process that made it. */
const NAME = /^nx-igvm-(?:boot|loader)-(\d+)-/;

/**
 * A folder for the files of a program that this process runs, in the system's temporary folder. Clears those of processes that
 * are gone and could not.
 * @throws IgvmError FILE_UNWRITABLE
 */
export function makeProcessFolder(purpose: 'boot' | 'loader', parent: string = tmpdir()): string {
  clearLeftovers(parent);
  try {
    return mkdtempSync(join(parent, `nx-igvm-${purpose}-${process.pid}-`));
  } catch (error) {
    throw unwritable(parent, error);
  }
}

function clearLeftovers(parent: string): void {
  let names: string[] = [];
  try {
    names = readdirSync(parent);
  } catch {
    // A folder may be writable but not listable; then leftovers stay.
  }
  for (const name of names) {
    const pid = NAME.exec(name)?.[1];
    if (pid === undefined || !isGone(Number(pid))) continue;
    try {
      rmSync(join(parent, name), { recursive: true, force: true });
    } catch {
      // Someone else's, or someone else clears it, too.
    }
  }
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
