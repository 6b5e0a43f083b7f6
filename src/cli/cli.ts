import type { Writable } from 'node:stream';
import type { ReadStream } from 'node:tty';

/** What a command may use of the process around it. Tests hand in their own. */
export interface CliEnvironment {
  /** Folder that relative paths start from. */
  cwd: string;
  stdout: (text: string) => void;
  stderr: (text: string) => void;
  /** The process's own streams, for the console of a guest; without them it has no input, and `stdout` gets its output as text. */
  console?: { stdin: ReadStream; stdout: Writable & { isTTY?: boolean } };
  /** Whether a person watches: then long work shows its progress on stderr. */
  isInteractive: boolean;
}

/** What a shell says of a program that SIGPIPE ended, which Node ignores: 128 and the signal's number. */
const BROKEN_PIPE_EXIT_CODE = 141;

/** The real thing. It ends the process when nobody reads its output any more, as `head` does. Call it once. */
export function processEnvironment(): CliEnvironment {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(BROKEN_PIPE_EXIT_CODE);
  });
  process.stderr.on('error', (error: NodeJS.ErrnoException) => {
    // Messages that nobody reads are no reason to stop.
    if (error.code !== 'EPIPE') throw error;
  });
  return {
    cwd: process.cwd(),
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    // Loading stdin takes a while, and only a guest wants it.
    get console() {
      return { stdin: process.stdin, stdout: process.stdout };
    },
    isInteractive: process.stderr.isTTY === true,
  };
}

/** Ends a command that has said all it had to say with an exit code of its own: files that differ, for example. */
export class ExitCode extends Error {
  constructor(readonly code: number) {
    super(`exit code ${code}`);
  }
}
