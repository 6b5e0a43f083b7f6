import { createHash, randomUUID } from 'node:crypto';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { unwritable } from './file-failure';

/** Which process made a file or folder, as text for its name: `PLACE-PID-START`. */
export const PROCESS_MARK = /([0-9a-f]{16})-(\d+)-(\d+)/;

/**
 * Where process numbers mean what they mean here. Another machine that shares a folder has processes of its own, and so has a
 * container or sandbox (a PID namespace), and the same machine after a restart.
 */
const PLACE = createHash('sha256')
  .update([hostname(), textOf('/proc/sys/kernel/random/boot_id'), pidNamespace()].join('\0'))
  .digest('hex')
  .slice(0, 16);

/** This process. */
export const processMark = (): string => `${PLACE}-${process.pid}-${startOf('self')}`;

/** What is known of the process that a mark names. */
export type MarkedProcess = 'this' | 'running' | 'gone' | 'unknown';

/** @param mark a match of {@link PROCESS_MARK}; `unknown` is one whose processes can't be seen from here */
export function processOf([, place, pid, start]: RegExpExecArray): MarkedProcess {
  if (place !== PLACE) return 'unknown';
  if (Number(pid) === process.pid && start === startOf('self')) return 'this';
  if (!isAlive(Number(pid))) return 'gone';
  // A number is given again. Without a start time on either side nobody can tell.
  const startNow = seesOwnProcesses() ? startOf(String(pid)) : NO_START;
  return start === NO_START || startNow === NO_START || start === startNow ? 'running' : 'gone';
}

const NO_START = '0';

/** When a process began, in ticks since the machine did (proc(5), `starttime`); {@link NO_START} outside of Linux. */
function startOf(pid: string): string {
  const text = textOf(`/proc/${pid}/stat`);
  // The second field is a name in parentheses, which may hold blanks and parentheses.
  const start = text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  return start !== undefined && /^\d+$/.test(start) ? start : NO_START;
}

/** A sandbox may show the processes of the machine around it, with other numbers. */
const seesOwnProcesses = (): boolean => linkOf('/proc/self') === String(process.pid);

/** Where Linux doesn't tell, this process knows no other. */
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
 * A folder for the files of a program that this process runs, in the system's temporary folder. Removes those of processes
 * that are gone and could not do so themselves, but none of another user, machine, container or sandbox.
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
