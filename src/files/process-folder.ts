import { createHash, randomUUID } from 'node:crypto';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { unwritable } from './file-failure';

/** The process that made a file or folder, as a part of its name: `PLACE-PID-START`. */
export const PROCESS_MARK = /([0-9a-f]{16})-(\d+)-(\d+)/;

/**
 * Identifies the set of processes to which a PID belongs. Another machine that shares a folder has its own processes. So does a
 * container or sandbox (a PID namespace), and this machine after a restart.
 */
const PLACE = createHash('sha256')
  .update([hostname(), textOf('/proc/sys/kernel/random/boot_id'), pidNamespace()].join('\0'))
  .digest('hex')
  .slice(0, 16);

/** The mark of this process. */
export const processMark = (): string => `${PLACE}-${process.pid}-${startOf('self')}`;

/** What is known about the process of a mark. */
export type MarkedProcess = 'this' | 'running' | 'gone' | 'unknown';

/** @param mark a match of {@link PROCESS_MARK}; the result is `unknown` when its processes can't be seen from here */
export function processOf([, place, pid, start]: RegExpExecArray): MarkedProcess {
  if (place !== PLACE) return 'unknown';
  if (Number(pid) === process.pid && start === startOf('self')) return 'this';
  if (!isAlive(Number(pid))) return 'gone';
  // PIDs are reused. Without both start times, the process may be the same one.
  const startNow = seesOwnProcesses() ? startOf(String(pid)) : NO_START;
  return start === NO_START || startNow === NO_START || start === startNow ? 'running' : 'gone';
}

const NO_START = '0';

/** When a process started, in ticks after the machine did (proc(5), `starttime`); {@link NO_START} outside of Linux. */
function startOf(pid: string): string {
  const text = textOf(`/proc/${pid}/stat`);
  // The second field is a name in parentheses, which may hold blanks and parentheses.
  const start = text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  return start !== undefined && /^\d+$/.test(start) ? start : NO_START;
}

/** Whether `/proc` has the PIDs of this namespace: a sandbox may show the processes of its host, with other numbers. */
const seesOwnProcesses = (): boolean => linkOf('/proc/self') === String(process.pid);

/** A random text if Linux doesn't state it: then the process can't identify any other. */
function pidNamespace(): string {
  const namespace = linkOf('/proc/self/ns/pid');
  return namespace === '' && process.platform === 'linux' ? randomUUID() : namespace;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** `nx-igvm-PURPOSE-PROCESS-RANDOM`: the process that made it. */
const NAME = new RegExp(`^nx-igvm-(?:boot|kernel|loader)-${PROCESS_MARK.source}-`);

/**
 * A folder for the files of a program that this process runs, in the system's temporary folder. Removes such folders of processes that
 * ended without removing them, but not those of another user, machine, container or sandbox.
 * @throws IgvmError FILE_UNWRITABLE
 */
export function makeProcessFolder(purpose: 'boot' | 'kernel' | 'loader', parent: string = tmpdir()): string {
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
      // Another process removes it at the same time.
    }
  }
}

/**
 * Whether a path is a folder of this user that nobody else can write to: in a folder of another user, links could redirect the
 * removal.
 */
function isOurs(path: string): boolean {
  const stats = lstatSync(path);
  if (!stats.isDirectory()) return false;
  return process.getuid === undefined || (stats.uid === process.getuid() && (stats.mode & 0o077) === 0);
}
