import { hash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ProgramDescription, run } from '../src/cli/run';

/** What igvmfilegen does with a manifest, as `case.json` records it. */
export interface ConformanceCase {
  /** Path below conformance/. */
  name: string;
  /** Extra flags. */
  args: string[];
  outcome: 'build' | 'reject';
  /** SHA-256 of each file that a build writes, by name; absent where the manifest is refused. */
  sha256?: Record<string, string>;
  /** Code of our error (docs/errors.md) where the manifest is refused: the reference's reason in our words. */
  code?: string;
}

/** Folders of cases, each of another state of igvmfilegen (README.md). */
export const SUITES = ['cases', 'cases-head'] as const;

/** All cases, by suite and name. */
export const conformanceCases = (suites: readonly string[] = SUITES): ConformanceCase[] =>
  suites.flatMap((suite) =>
    readdirSync(join(__dirname, suite))
      .sort()
      .map((each) => {
        const name = `${suite}/${each}`;
        const { args, outcome, sha256, code } = JSON.parse(
          readFileSync(join(__dirname, name, 'case.json'), 'utf8'),
        ) as ConformanceCase;
        return { name, args, outcome, sha256, code };
      }),
  );

/** The files of a case besides its outputs. */
export const CASE_FILES = ['manifest.json', 'resources.json', 'case.json'];

/** Puts a case's files into `folder`, its resources pointing into `inputs`. */
export const placeCase = (name: string, folder: string, inputs: string): void =>
  place(join(__dirname, name), folder, inputs);

/** Like {@link placeCase}, for a case of a tool that works on an image. */
export const placeTool = (name: string, folder: string, inputs: string): void =>
  place(join(__dirname, 'tools', name), folder, inputs);

function place(from: string, folder: string, inputs: string): void {
  cpSync(from, folder, { recursive: true });
  const resources = readFileSync(join(from, 'resources.json'), 'utf8');
  const path = JSON.stringify(inputs).slice(1, -1);
  writeFileSync(join(folder, 'resources.json'), resources.replaceAll('@INPUTS@', path));
}

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
