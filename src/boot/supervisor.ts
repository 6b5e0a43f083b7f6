/**
 * A program between the main process and a VMM, for three reasons.
 *
 * First, the VMM has to end with the main process, however that ends. A process that is killed can't clean up, but its end of a pipe
 * closes. This pipe, on stdin, also carries the input for the guest.
 *
 * Second, no output of the guest may be lost. A UART can't wait: Linux waits 10 ms for a full one, then overwrites its content. So
 * the VMM writes to a pipe of the system, which this process always empties immediately. (Node's own "pipes" are sockets, which are full
 * after 278 writes of one byte, and a UART writes byte by byte.) If too much output is waiting here, the VMM is stopped until the main
 * process has caught up. A guest that is stopped loses nothing.
 *
 * Third, a terminal in raw mode has to be reset even if the main process is killed.
 *
 * Arguments: {@link SupervisorOptions} as JSON, the program, its arguments. The VMM's process ID goes to file descriptor 3, so that the
 * main process can kill the VMM if this process is killed.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';

export interface SupervisorOptions {
  /** A folder that is removed at the end. */
  folder?: string;
  /** Whether the VMM reads stdin. Otherwise it has no input. */
  hasInput: boolean;
  /** The state of the terminal before it was in raw mode, as `stty -g` prints it. */
  terminal?: string;
}

/** Milliseconds between asking the VMM to end and killing it. */
const GRACE = 2000;

/** Milliseconds to wait for output of a VMM that has ended. A process that it started may keep the pipe open. */
const REST = 1000;

/** Bytes of output that may wait for the main process before the VMM is stopped. */
const MOST_WAITING = 1 << 24;

const [json = '{}', program = '', ...args] = process.argv.slice(2);
const { folder, hasInput, terminal } = JSON.parse(json) as SupervisorOptions;
const output = new Socket({ fd: 1, readable: false, writable: true });

/** A pipe of the system; undefined on systems without named pipes. */
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
// The main process has stopped reading. The pipe on stdin closes, too.
output.on('error', () => undefined);

/** Ends this process when the main process has all output of the guest. */
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
  // A stopped process would not handle the signal.
  halt(false);
  setTimeout(() => vmm.kill('SIGKILL'), GRACE);
}

function restoreTerminal(): void {
  if (terminal === undefined) return;
  // The shell may own the terminal by now. It stops background processes that change the terminal, unless they ignore the signal.
  spawnSync('sh', ['-c', 'trap "" TTOU; exec stty "$1" < /dev/tty', 'sh', terminal], { stdio: 'ignore' });
}

vmm.on('error', (error) => {
  process.stderr.write(`${error.message}\n`);
  end(127);
});
vmm.on('exit', (code) => end(code ?? 1));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(signal));

// The VMM may have ended already.
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
  // The main process has stopped reading. The pipe on stdin is closed, too.
}
