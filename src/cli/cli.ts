import { fstatSync, writeSync } from 'node:fs';
import type { Writable } from 'node:stream';
import type { ReadStream } from 'node:tty';
import { errnoOf, unwritable } from '../files/file-failure';

/** What a command may use of the process around it. Tests pass their own. */
export interface CliEnvironment {
  /** Folder that relative paths start from. */
  cwd: string;
  stdout: (text: string) => void;
  stderr: (text: string) => void;
  /** The process's own streams, for a guest's console. Without them a guest has no input, and `stdout` gets its output as text. */
  console?: { stdin: ReadStream; stdout: Writable & { isTTY?: boolean } };
  /** Whether a person watches. Then long work shows its progress on stderr. */
  isInteractive: boolean;
}

/** The exit code that a shell reports for a program killed by SIGPIPE, a signal that Node ignores: 128 plus the signal's number. */
const BROKEN_PIPE_EXIT_CODE = 141;

/**
 * A function that writes text to an output of the process. It writes to the file descriptor, because Node's stream takes 2 ms to load.
 * Only a pipe that is full and doesn't block needs the stream.
 * @param fail takes the error of a write
 */
function writer(fd: 1 | 2, open: () => Writable, fail: (error: unknown) => void): (text: string) => void {
  let stream: Writable | undefined;
  return (text) => {
    let rest: Uint8Array = Buffer.from(text);
    try {
      while (stream === undefined && rest.length > 0) rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if (errnoOf(error) !== 'EAGAIN') return fail(error);
      stream = open();
      stream.on('error', fail);
    }
    if (rest.length > 0) stream?.write(rest);
  };
}

/** Whether an output is certainly no terminal: a file or a pipe. Found out without Node's stream. */
function isFileOrPipe(fd: 1 | 2): boolean {
  try {
    return !fstatSync(fd).isCharacterDevice();
  } catch {
    return false;
  }
}

/**
 * The real process. It ends when its output can't be written, for example because nobody reads it any more, as with `head`. It continues
 * if only its messages can't be written. Call this once.
 */
export function processEnvironment(): CliEnvironment {
  const stdout = () => process.stdout;
  let messages: typeof process.stderr | undefined;
  const stderr = () => (messages ??= process.stderr.on('error', () => undefined));
  const message = writer(2, stderr, () => undefined);
  const fail = (error: unknown): void => {
    if (errnoOf(error) === 'EPIPE') process.exit(BROKEN_PIPE_EXIT_CODE);
    message(`error: ${unwritable('standard output', error).format()}\n`);
    process.exit(1);
  };
  return {
    cwd: process.cwd(),
    stdout: writer(1, stdout, fail),
    stderr: message,
    // Loading stdin takes a while, and only a guest needs it.
    get console() {
      return { stdin: process.stdin, stdout: stdout().on('error', fail) };
    },
    get isInteractive() {
      return !isFileOrPipe(2) && stderr().isTTY === true;
    },
  };
}

/** Ends a command that has printed everything with an exit code of its own, for example when files differ. */
export class ExitCode extends Error {
  constructor(readonly code: number) {
    super(`exit code ${code}`);
  }
}
