import { hash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ProgramDescription, run } from '../src/cli/programs';

/** The behaviour of igvmfilegen for a manifest, as recorded in `case.json`. */
export interface ConformanceCase {
  /** Path below conformance/. */
  name: string;
  /** Extra flags. */
  args: string[];
  outcome: 'build' | 'reject';
  /** SHA-256 of each file that a build writes, by name; absent if the manifest is refused. */
  sha256?: Record<string, string>;
  /** Code of our error (docs/errors.md) if the manifest is refused. */
  code?: string;
}

/** Folders of cases, each for one version of igvmfilegen (README.md). */
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

/** The input files of a case. */
export const CASE_FILES = ['manifest.json', 'resources.json', 'case.json'];

/** Copies a case's files into `folder`, with resources that point into `inputs`. */
export const placeCase = (name: string, folder: string, inputs: string): void =>
  place(join(__dirname, name), folder, inputs);

/** Like {@link placeCase}, for a tool that works on an image. */
export const placeTool = (name: string, folder: string, inputs: string): void =>
  place(join(__dirname, 'tools', name), folder, inputs);

function place(from: string, folder: string, inputs: string): void {
  cpSync(from, folder, { recursive: true });
  const resources = readFileSync(join(from, 'resources.json'), 'utf8');
  const path = JSON.stringify(inputs).slice(1, -1);
  writeFileSync(join(folder, 'resources.json'), resources.replaceAll('@INPUTS@', path));
}

/** The visible result of running a program. */
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
