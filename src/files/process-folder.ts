import { lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unwritable } from './file-failure';
import { PROCESS_MARK, processMark, processOf } from './process-mark';

/** `nx-igvm-PURPOSE-PROCESS-RANDOM`: the process that made it. */
const NAME = new RegExp(`^nx-igvm-(?:boot|loader)-${PROCESS_MARK.source}-`);

/**
 * A folder for the files of a program that this process runs, in the system's temporary folder. Removes those of processes
 * that are gone and could not do so themselves, but none of another user, machine, container or sandbox.
 * @throws IgvmError FILE_UNWRITABLE
 */
export function makeProcessFolder(purpose: 'boot' | 'loader', parent: string = tmpdir()): string {
  clearLeftovers(parent);
  try {
    return mkdtempSync(join(parent, `nx-igvm-${purpose}-${processMark()}-`));
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
    const mark = NAME.exec(name);
    if (mark === null || processOf(mark) !== 'gone') continue;
    const path = join(parent, name);
    try {
      if (isOurs(path)) rmSync(path, { recursive: true, force: true });
    } catch {
      // Someone else removes it, too.
    }
  }
}

/**
 * Whether a path is a folder that this user made and nobody else can put anything into: in one of another user, links could
 * lead the removal elsewhere.
 */
function isOurs(path: string): boolean {
  const stats = lstatSync(path);
  if (!stats.isDirectory()) return false;
  return process.getuid === undefined || (stats.uid === process.getuid() && (stats.mode & 0o077) === 0);
}
