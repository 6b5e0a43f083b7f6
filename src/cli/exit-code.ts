/** Ends a command that has said all it had to say with an exit code of its own: files that differ, for example. */
export class ExitCode extends Error {
  constructor(readonly code: number) {
    super(`exit code ${code}`);
  }
}
