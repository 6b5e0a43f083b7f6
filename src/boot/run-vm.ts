import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { programFile } from '../files/program-file';
import { connectTerminal, type Terminal, terminalState } from './console';
import type { SupervisorOptions } from './supervisor';

/** A VMM that runs until it ends or has printed a given text. */
export interface VmRun {
  program: string;
  args: readonly string[];
  /** A folder that is removed when the VMM has ended for any reason. */
  folder?: string;
  /** Ends the run once the guest's serial output matches; see {@link OutputPattern}. */
  until?: RegExp;
  /** Matches the output of a guest that has finished but can't end the VMM. */
  halted?: RegExp;
  /** Milliseconds. */
  timeout?: number;
  /** Takes the guest's serial output, byte for byte. Stays open. */
  stdout: Writable;
  /** Takes the VMM's messages. */
  stderr: (text: string) => void;
  /** Its input goes to the guest while the guest runs. */
  terminal?: Terminal;
  /** Ends the run. */
  signal?: AbortSignal;
}

/** How a run ended. */
export interface VmEnd {
  /** `exited`: by itself. `halted`: the guest has finished. `stopped`: by a signal or by the user. */
  by: 'matched' | 'exited' | 'halted' | 'timeout' | 'stopped';
  /** The VMM's exit code; undefined if it was killed. */
  exitCode: number | undefined;
  /** The end of the VMM's output on stderr. */
  messages: string;
  /** The guest's last line, if it has no newline but would match `until` with one. */
  unfinished?: string;
}

/** Characters of messages that are kept. */
const REMEMBERED = 1 << 16;

/** Milliseconds between asking the supervisor to end and killing it together with the VMM. */
const GRACE = 5000;

/** Runs a VMM under a supervisor (see supervisor.ts), so that neither the VMM nor its files survive this process. */
export function runVm(run: VmRun): Promise<VmEnd> {
  const { program, args, folder, stdout, stderr, terminal, signal } = run;
  const options: SupervisorOptions = {
    folder,
    hasInput: terminal !== undefined,
    terminal: terminal === undefined ? undefined : terminalState(terminal),
  };
  const supervisor = spawn(
    process.execPath,
    [programFile(__dirname, 'supervisor'), JSON.stringify(options), program, ...args],
    {
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
      windowsHide: true,
      // The supervisor must not inherit options of this process, such as that of a debugger.
      env: { ...process.env, NODE_OPTIONS: '' },
    },
  );
  let by: VmEnd['by'] = 'exited';
  let vmmPid = '';
  let killer: NodeJS.Timeout | undefined;
  const stop = (reason: VmEnd['by']): void => {
    if (by !== 'exited') return;
    by = reason;
    supervisor.stdin.end();
    killer = setTimeout(() => supervisor.kill('SIGKILL'), GRACE);
  };
  // Writing fails if the supervisor has ended. Its exit is handled below.
  supervisor.stdin.on('error', () => undefined);

  const until = run.until === undefined ? undefined : new OutputPattern(run.until);
  const halted = run.halted === undefined ? undefined : new OutputPattern(run.halted);
  supervisor.stdout.on('data', (bytes: Buffer) => {
    if (!stdout.write(bytes)) {
      // The reader is slow. In the meantime, the supervisor buffers the output.
      supervisor.stdout.pause();
      const goOn = (): void => {
        for (const event of ['drain', 'close']) stdout.off(event, goOn);
        supervisor.stdout.resume();
      };
      for (const event of ['drain', 'close']) stdout.on(event, goOn);
    }
    if (until?.take(bytes) === true) stop('matched');
    else if (halted?.take(bytes) === true) stop('halted');
  });
  let messages = '';
  readText(supervisor.stderr, (text) => {
    messages = (messages + text).slice(-REMEMBERED);
    // Its message about being stopped is not worth showing.
    if (by === 'exited') stderr(text);
  });
  readText(supervisor.stdio[3] as Readable, (text) => (vmmPid += text));

  const timer = run.timeout === undefined ? undefined : setTimeout(() => stop('timeout'), run.timeout);
  const onAbort = (): void => stop('stopped');
  signal?.addEventListener('abort', onAbort);
  if (signal?.aborted === true) onAbort();
  const disconnect =
    terminal === undefined
      ? undefined
      : connectTerminal(terminal, {
          send: (bytes) => void (by === 'exited' && supervisor.stdin.write(bytes)),
          quit: () => stop('stopped'),
          tell: stderr,
        });

  return new Promise((resolve, reject) => {
    supervisor.on('error', (error) => {
      disconnect?.();
      reject(error);
    });
    // Without a code it was killed. Then the VMM still runs and keeps the pipes open, for whose end `close` waits.
    supervisor.on('exit', (code) => {
      if (code === null) cleanUp(vmmPid, folder);
    });
    supervisor.on('close', (code) => {
      clearTimeout(timer);
      clearTimeout(killer);
      signal?.removeEventListener('abort', onAbort);
      disconnect?.();
      // A VMM that has failed might have printed more.
      if (by === 'exited' && code === 0 && until?.end() === true) by = 'matched';
      const unfinished = by === 'timeout' || by === 'stopped' ? until?.matchingRest() : undefined;
      resolve({ by, exitCode: code ?? undefined, messages, ...(unfinished === undefined ? {} : { unfinished }) });
    });
  });
}

/** Does what the supervisor does at its end, in place of one that was killed. */
function cleanUp(vmmPid: string, folder: string | undefined): void {
  try {
    if (vmmPid !== '') process.kill(Number(vmmPid), 'SIGKILL');
  } catch {
    // It has ended.
  }
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
}

function readText(stream: Readable, take: (text: string) => void): void {
  const decoder = new StringDecoder('utf8');
  stream.on('data', (chunk: Buffer) => take(decoder.write(chunk)));
}

/** Signals that end a run, and with it the VM, rather than this process. */
const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Tells whether a run should end, and why. */
export interface Stop {
  /** Aborted by a signal to this process, or by the caller's. */
  readonly signal: AbortSignal;
  /** The name of the signal to this process, if that was the reason. */
  readonly name: () => NodeJS.Signals | undefined;
  /** Restores the former handling of signals. */
  readonly release: () => void;
}

/**
 * Handles SIGINT, SIGTERM and SIGHUP until it is released. All parts of a run watch one AbortSignal.
 * @param outer also ends the run
 */
export function stopOnSignals(outer?: AbortSignal): Stop {
  const controller = new AbortController();
  let caught: NodeJS.Signals | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    caught ??= name;
    controller.abort();
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  return {
    signal: outer === undefined ? controller.signal : AbortSignal.any([controller.signal, outer]),
    name: () => caught,
    release: () => {
      for (const name of SIGNALS) process.off(name, onSignal);
    },
  };
}

/** The number of characters of output that a pattern is matched against. */
const KEPT_OF_OUTPUT = 1 << 16;

/**
 * Searches a guest's output, which arrives in chunks of any length, for a pattern.
 *
 * Later output must not invalidate a match. So a pattern that depends on what follows (`$`, `\b`, a lookahead) is tried on whole lines
 * only: `^failed: 1$` must not match `failed: 1` if the line continues with `2`. Any other pattern matches as soon as its text is there,
 * for example in a prompt. Carriage returns are not part of the text.
 */
export class OutputPattern {
  private readonly pattern: RegExp;
  private readonly looksAhead: boolean;
  private readonly decoder = new StringDecoder('utf8');
  private text = '';
  /** Whether `text` begins within a line. One more character is kept than the pattern may match. */
  private isCut = false;

  constructor(source: RegExp) {
    this.pattern = new RegExp(source.source, [...new Set(`${source.flags}g`)].join('').replace('y', ''));
    this.looksAhead = looksAhead(source.source);
  }

  /** Adds bytes. Returns whether the output matches now. */
  take(bytes: Uint8Array): boolean {
    const added = this.decoder.write(bytes).replaceAll('\r', '');
    if (added === '') return false;
    this.text += added;
    const isNew = this.looksAhead ? added.includes('\n') && this.matches(this.wholeLines()) : this.matches(this.text);
    this.forget();
    return isNew;
  }

  /** Ends the output. Returns whether it matches. */
  end(): boolean {
    return this.matches(this.text.replace(/\n$/, ''));
  }

  /** The last line, if it would match with a newline. */
  matchingRest(): string | undefined {
    const rest = this.text.slice(this.text.lastIndexOf('\n') + 1);
    return rest !== '' && this.matches(this.text) ? rest : undefined;
  }

  /** The complete lines without the last newline, so that `$` matches there and no empty line follows. */
  private wholeLines(): string {
    return this.text.slice(0, this.text.lastIndexOf('\n'));
  }

  private matches(text: string): boolean {
    this.pattern.lastIndex = this.isCut ? 1 : 0;
    return this.pattern.test(text);
  }

  private forget(): void {
    const from = this.text.length - KEPT_OF_OUTPUT;
    if (from <= 0) return;
    const line = this.text.indexOf('\n', from);
    this.isCut = line === -1;
    this.text = this.text.slice(line === -1 ? from - 1 : line + 1);
  }
}

/** Whether a regular expression can depend on what follows a match. */
export function looksAhead(source: string): boolean {
  for (let at = 0, inClass = false; at < source.length; at++) {
    const char = source[at];
    if (char === '\\') {
      at++;
      if (!inClass && (source[at] === 'b' || source[at] === 'B')) return true;
    } else if (inClass) {
      inClass = char !== ']';
    } else if (char === '[') {
      inClass = true;
    } else if (char === '$' || source.startsWith('(?=', at) || source.startsWith('(?!', at)) {
      return true;
    }
  }
  return false;
}
