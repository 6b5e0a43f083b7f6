import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';

/** `nx-igvm-boot-PID-RANDOM`: the process that made it. */
const NAME = /^nx-igvm-boot-(\d+)-/;

/**
 * A folder for the files of one run, in the system's temporary folder. Clears those of processes that are gone, where
 * not even a supervisor could.
 * @throws IgvmError FILE_UNWRITABLE
 */
export function makeBootFolder(parent: string = tmpdir()): string {
  try {
    for (const name of readdirSync(parent)) {
      const pid = NAME.exec(name)?.[1];
      if (pid !== undefined && isGone(Number(pid))) rmSync(join(parent, name), { recursive: true, force: true });
    }
  } catch {
    // Someone else's, or someone else clears it, too.
  }
  try {
    return mkdtempSync(join(parent, `nx-igvm-boot-${process.pid}-`));
  } catch (error) {
    throw new IgvmError('FILE_UNWRITABLE', 'no folder can be made here', { file: parent }, { cause: error });
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
