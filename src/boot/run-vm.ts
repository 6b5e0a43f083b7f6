import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { supervise } from './supervisor';

/** A VMM to run until it ends or has printed something. */
export interface VmRun {
  program: string;
  args: readonly string[];
  /** Removed when the VMM has ended, whatever ends it. */
  folder?: string;
  /** Ends the run once the guest's serial output matches; carriage returns are not part of it. */
  until?: RegExp;
  /** Milliseconds. */
  timeout?: number;
  /** Takes the guest's serial output. */
  stdout: (text: string) => void;
  /** Takes the VMM's messages. */
  stderr: (text: string) => void;
  /** Ends the run, as a signal would. */
  signal?: AbortSignal;
}

/** How a run ended. */
export interface VmEnd {
  /** `exited`: by itself. `stopped`: by a signal to this process. */
  by: 'matched' | 'exited' | 'timeout' | 'stopped';
  /** Of the VMM; undefined when it was killed. */
  exitCode: number | undefined;
  /** The signal that stopped it, or came while it was ending for another reason. */
  signal?: NodeJS.Signals;
  /** The end of what the VMM wrote to stderr. */
  messages: string;
}

const FORWARDED: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Characters of output in which `until` is looked for, and of messages that are kept. */
const REMEMBERED = 1 << 16;

/** Milliseconds from asking the supervisor to end until it is killed together with the VMM. */
const GRACE = 5000;

/**
 * Runs a VMM under a supervisor (see supervisor.ts), so that neither the VMM nor its files survive this process. While it
 * runs, SIGINT, SIGTERM and SIGHUP end the VMM rather than this process.
 */
export function runVm({ program, args, folder, until, timeout, stdout, stderr, signal }: VmRun): Promise<VmEnd> {
  const supervisor = spawn(
    process.execPath,
    ['-e', `(${supervise.toString()})()`, '--', folder ?? '', program, ...args],
    {
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
      windowsHide: true,
      // Options for this process (an inspector, most often) are not for that one.
      env: { ...process.env, NODE_OPTIONS: '' },
    },
  );
  let by: VmEnd['by'] = 'exited';
  let stoppedBy: NodeJS.Signals | undefined;
  let vmmPid = '';
  let killer: NodeJS.Timeout | undefined;
  const stop = (reason: VmEnd['by'], name?: NodeJS.Signals): void => {
    stoppedBy ??= name;
    if (by !== 'exited') return;
    by = reason;
    supervisor.stdin.end();
    killer = setTimeout(() => supervisor.kill('SIGKILL'), GRACE);
  };
  // Writing fails when it has ended first; its exit tells.
  supervisor.stdin.on('error', () => undefined);

  let tail = '';
  readText(supervisor.stdout, (text) => {
    stdout(text);
    if (until === undefined) return;
    tail = (tail + text.replaceAll('\r', '')).slice(-REMEMBERED);
    if (until.test(tail)) stop('matched');
  });
  let messages = '';
  readText(supervisor.stderr, (text) => {
    messages = (messages + text).slice(-REMEMBERED);
    // What it says of being stopped is no news.
    if (by === 'exited') stderr(text);
  });
  readText(supervisor.stdio[3] as Readable, (text) => (vmmPid += text));

  const timer = timeout === undefined ? undefined : setTimeout(() => stop('timeout'), timeout);
  const onAbort = (): void => stop('stopped');
  signal?.addEventListener('abort', onAbort);
  if (signal?.aborted === true) onAbort();
  const onSignal = (name: NodeJS.Signals): void => stop('stopped', name);
  for (const name of FORWARDED) process.on(name, onSignal);

  return new Promise((resolve, reject) => {
    supervisor.on('error', reject);
    // Only killed it has no code. Then the VMM still runs, and holds the pipes whose end `close` waits for.
    supervisor.on('exit', (code) => {
      if (code === null) cleanUp(vmmPid, folder);
    });
    supervisor.on('close', (code) => {
      clearTimeout(timer);
      clearTimeout(killer);
      signal?.removeEventListener('abort', onAbort);
      for (const name of FORWARDED) process.off(name, onSignal);
      resolve({ by, exitCode: code ?? undefined, signal: stoppedBy, messages });
    });
  });
}

/** What the supervisor does at its end, for one that was killed. */
function cleanUp(vmmPid: string, folder: string | undefined): void {
  try {
    if (vmmPid !== '') process.kill(Number(vmmPid), 'SIGKILL');
  } catch {
    // It has ended.
  }
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
}

function readText(stream: Readable | ChildProcess['stdout'], take: (text: string) => void): void {
  const decoder = new StringDecoder('utf8');
  stream?.on('data', (chunk: Buffer) => take(decoder.write(chunk)));
}
