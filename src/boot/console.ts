import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { StringDecoder } from 'node:string_decoder';
import type { ReadStream } from 'node:tty';
import { LogText } from '../errors/printable';

/** The terminal with a guest's console: `process.stdin` of an interactive program. */
export type Terminal = Pick<ReadStream, 'setRawMode' | 'on' | 'off' | 'resume' | 'pause'> & { fd?: number };

/** What to do with the input. */
export interface ConsoleActions {
  send: (bytes: Uint8Array) => void;
  /** Ends the run. */
  quit: () => void;
  /** Prints whole lines for the user. */
  tell: (text: string) => void;
}

const CTRL_A = 0x01;

const HELP = `nx-igvm: what you type goes to the guest; Ctrl-a x ends the run, Ctrl-a Ctrl-a sends Ctrl-a\n`;

/**
 * Passes input on to a guest, key by key and unchanged, including Ctrl-C. As in QEMU, Ctrl-a is the escape key.
 * @returns resets the terminal; may be called twice
 */
export function connectTerminal(terminal: Terminal, actions: ConsoleActions): () => void {
  const keys = new EscapeKey(actions);
  const onData = (bytes: Buffer): void => keys.take(bytes);
  terminal.setRawMode(true);
  terminal.on('data', onData);
  terminal.resume();
  actions.tell(HELP);
  let isConnected = true;
  return () => {
    if (!isConnected) return;
    isConnected = false;
    terminal.off('data', onData);
    terminal.pause();
    terminal.setRawMode(false);
  };
}

/** Finds the escape key in the input. Everything else goes to the guest. */
class EscapeKey {
  private isPending = false;

  constructor(private readonly actions: ConsoleActions) {}

  take(bytes: Uint8Array): void {
    const forGuest: number[] = [];
    for (const byte of bytes) {
      if (!this.isPending) {
        this.isPending = byte === CTRL_A;
        if (!this.isPending) forGuest.push(byte);
        continue;
      }
      this.isPending = false;
      const key = String.fromCharCode(byte).toLowerCase();
      if (key === 'x') {
        this.actions.send(Uint8Array.from(forGuest));
        return this.actions.quit();
      }
      if (key === 'h' || key === '?') this.actions.tell(HELP);
      // Ctrl-a for a line editor in the guest needs not be typed twice if another key follows.
      else if (byte === CTRL_A) forGuest.push(CTRL_A);
      else forGuest.push(CTRL_A, byte);
    }
    if (forGuest.length > 0) this.actions.send(Uint8Array.from(forGuest));
  }
}

/**
 * A stream's terminal, if this process may use it. The system stops a background process that reads from it or changes its mode.
 * @param stdin undefined or not a terminal if there is no input
 */
export function usableTerminal(stdin: ReadStream | undefined): Terminal | undefined {
  return stdin?.isTTY === true && isInForeground() ? stdin : undefined;
}

function isInForeground(): boolean {
  if (process.platform === 'win32') return true;
  try {
    if (process.platform === 'linux') {
      // After the name, which may contain anything: state, parent, group, session, terminal, the terminal's group (proc(5)).
      const [, , group, , , foreground] = readFileSync('/proc/self/stat', 'latin1')
        .replace(/^.*\) /s, '')
        .split(' ');
      return group === foreground;
    }
    return execFileSync('ps', ['-o', 'stat=', '-p', String(process.pid)], { encoding: 'utf8' }).includes('+');
  } catch {
    return false;
  }
}

/** The state of a terminal for the program `stty`; undefined if it can't be determined. */
export function terminalState({ fd }: Terminal): string | undefined {
  if (process.platform === 'win32') return undefined;
  try {
    return execFileSync('stty', ['-g'], { encoding: 'utf8', stdio: [fd ?? 'inherit', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}

/**
 * The output of a guest or VMM on its way to a file, a pipe or the log of a CI service. It becomes text that is harmless there, see
 * {@link LogText}. A terminal gets the output as it is.
 */
export class LogOutput extends Writable {
  private readonly decoder = new StringDecoder('utf8');
  private readonly log = new LogText();

  /** @param target stays open */
  constructor(private readonly target: Writable) {
    super();
  }

  override _write(bytes: Buffer, _: BufferEncoding, done: () => void): void {
    this.handOn(this.log.add(this.decoder.write(bytes)), done);
  }

  override _final(done: () => void): void {
    this.handOn(this.log.add(this.decoder.end()) + this.log.end(), done);
  }

  /** Writes what is left. Call it when the output has ended. A second call does nothing. */
  async finish(): Promise<void> {
    if (this.writableEnded) return;
    this.end();
    await finished(this);
  }

  private handOn(text: string, done: () => void): void {
    if (text === '' || this.target.write(text)) done();
    else this.target.once('drain', done);
  }
}
