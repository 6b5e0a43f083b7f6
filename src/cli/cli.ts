import type { Writable } from 'node:stream';
import type { ReadStream } from 'node:tty';

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

/** The real process. It ends when nobody reads its output any more, as with `head`. Call this once. */
export function processEnvironment(): CliEnvironment {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(BROKEN_PIPE_EXIT_CODE);
  });
  process.stderr.on('error', (error: NodeJS.ErrnoException) => {
    // Nobody reading the messages is no reason to stop.
    if (error.code !== 'EPIPE') throw error;
  });
  return {
    cwd: process.cwd(),
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    // Loading stdin takes a while, and only a guest needs it.
    get console() {
      return { stdin: process.stdin, stdout: process.stdout };
    },
    isInteractive: process.stderr.isTTY === true,
  };
}

/** Ends a command that has printed everything with an exit code of its own, for example when files differ. */
export class ExitCode extends Error {
  constructor(readonly code: number) {
    super(`exit code ${code}`);
  }
}
