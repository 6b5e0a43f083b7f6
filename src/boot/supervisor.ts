/**
 * A program that runs between us and a VMM, for three reasons.
 *
 * The VMM has to end when we do, however we end: a process that is killed outright can't clean up, but its end of a pipe
 * closes. That pipe, on stdin, also carries what is typed for the guest.
 *
 * Nothing that the guest prints may be lost. A UART can't wait: Linux gives a full one 10 ms, and then overwrites what is in it.
 * So the VMM writes to a pipe of the system, which this process empties at once, whatever we do meanwhile. (Node's own "pipes"
 * are sockets, which are full after 278 writes of one byte, and a UART writes byte by byte.) Should more wait here than is good, the VMM
 * is halted until we have caught up: a guest that stands still loses nothing.
 *
 * A terminal in raw mode is set back even if we were killed.
 *
 * Arguments: {@link SupervisorOptions} as JSON, the program, its arguments. The VMM's process number goes to file descriptor 3, so that
 * we can kill it should this process be killed.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';

export interface SupervisorOptions {
  /** Removed at the end. */
  folder?: string;
  /** Whether the VMM reads what comes on stdin. Without it the VMM has no input. */
  hasInput: boolean;
  /** The state of the terminal before it was in raw mode, as `stty -g` prints it. */
  terminal?: string;
}

/** Milliseconds between asking the VMM to end and killing it. */
const GRACE = 2000;

/** Milliseconds to wait for output of a VMM that has ended: something that it started may keep the pipe open. */
const REST = 1000;

/** Bytes of output that may wait for us before the VMM is halted. */
const MOST_WAITING = 1 << 24;

const [json = '{}', program = '', ...args] = process.argv.slice(2);
const { folder, hasInput, terminal } = JSON.parse(json) as SupervisorOptions;
const output = new Socket({ fd: 1, readable: false, writable: true });

/** A pipe of the system; undefined where there are none to be had by name. */
function makePipe(): { reader: number; writer: number } | undefined {
  if (process.platform === 'win32') return undefined;
  let place: string | undefined;
  try {
    place = mkdtempSync(join(folder ?? tmpdir(), 'nx-igvm-pipe-'));
    const path = join(place, 'serial');
    execFileSync('mkfifo', [path], { stdio: 'ignore' });
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return { reader, writer: openSync(path, constants.O_WRONLY) };
  } catch {
    return undefined;
  } finally {
    if (place !== undefined) rmSync(place, { recursive: true, force: true });
  }
}

function startVmm(): { vmm: ChildProcess; serial: Readable | null } {
  const pipe = makePipe();
  const vmm = spawn(program, args, { stdio: [hasInput ? 'pipe' : 'ignore', pipe?.writer ?? 'pipe', 'inherit'] });
  if (pipe === undefined) return { vmm, serial: vmm.stdout };
  closeSync(pipe.writer);
  return { vmm, serial: new Socket({ fd: pipe.reader, readable: true, writable: false }) };
}

const { vmm, serial } = startVmm();

let isHalted = false;
function halt(on: boolean): void {
  if (isHalted === on || process.platform === 'win32') return;
  isHalted = on;
  vmm.kill(on ? 'SIGSTOP' : 'SIGCONT');
}

serial?.on('data', (bytes: Buffer) => {
  output.write(bytes);
  if (output.writableLength > MOST_WAITING) halt(true);
});
output.on('drain', () => halt(false));
// Nobody reads it any more; then the pipe on stdin closes, too.
output.on('error', () => undefined);

/** Ends this process when everything that the guest printed is with us. */
function end(code: number): void {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  const finish = (): void => {
    if (output.destroyed) process.exit(code);
    output.once('close', () => process.exit(code));
    output.end(() => process.exit(code));
  };
  if (serial === null || serial.readableEnded || serial.destroyed) return finish();
  serial.once('close', finish);
  setTimeout(finish, REST);
}

function stop(signal: NodeJS.Signals): void {
  vmm.kill(signal);
  // A halted one would not notice.
  halt(false);
  setTimeout(() => vmm.kill('SIGKILL'), GRACE);
}

function restoreTerminal(): void {
  if (terminal === undefined) return;
  // The shell may have the terminal by now, and stops processes in the background that change it, unless they ignore that.
  spawnSync('sh', ['-c', 'trap "" TTOU; exec stty "$1" < /dev/tty', 'sh', terminal], { stdio: 'ignore' });
}

vmm.on('error', (error) => {
  process.stderr.write(`${error.message}\n`);
  end(127);
});
vmm.on('exit', (code) => end(code ?? 1));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(signal));

// The VMM may have ended.
vmm.stdin?.on('error', () => undefined);
process.stdin.on('data', (bytes: Buffer) => vmm.stdin?.write(bytes));
const onGone = (): void => {
  restoreTerminal();
  stop('SIGTERM');
};
process.stdin.on('end', onGone);
process.stdin.on('error', onGone);

try {
  writeSync(3, `${vmm.pid}\n`);
} catch {
  // Nobody reads it any more; then the pipe on stdin is closed, too.
}
