import { hash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ProgramDescription, run } from '../src/cli/run';

/** What a run of a program did, as a user sees it. */
export interface Outcome {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Runs a command line in this process. */
export async function runProgram(program: ProgramDescription, args: readonly string[], cwd: string): Promise<Outcome> {
  const outcome = { exitCode: 0, stdout: '', stderr: '' };
  outcome.exitCode = await run(program, args, {
    cwd,
    stdout: (text) => void (outcome.stdout += text),
    stderr: (text) => void (outcome.stderr += text),
    isInteractive: false,
  });
  return outcome;
}

/** SHA-256 of each file in a folder, by name. */
export const digestsOf = (folder: string, except: readonly string[] = []): Record<string, string> =>
  Object.fromEntries(
    readdirSync(folder)
      .filter((name) => !except.includes(name))
      .map((name) => [name, hash('sha256', readFileSync(join(folder, name)))]),
  );
