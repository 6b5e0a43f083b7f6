/** What a command may use of the process around it. Tests hand in their own. */
export interface CliEnvironment {
  /** Folder that relative paths start from. */
  cwd: string;
  stdout: (text: string) => void;
  stderr: (text: string) => void;
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
    isInteractive: process.stderr.isTTY === true,
  };
}
