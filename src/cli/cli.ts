/** What a command may use of the process around it. Tests hand in their own. */
export interface CliEnvironment {
  /** Folder that relative paths start from. */
  cwd: string;
  stdout: (text: string) => void;
  stderr: (text: string) => void;
  /** Whether a person watches: then long work shows its progress on stderr. */
  isInteractive: boolean;
}

/** The real thing. */
export const processEnvironment = (): CliEnvironment => ({
  cwd: process.cwd(),
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
  isInteractive: process.stderr.isTTY === true,
});
