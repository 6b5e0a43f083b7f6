import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What igvmfilegen does with a manifest, as `case.json` records it. */
export interface ConformanceCase {
  name: string;
  /** Extra flags. */
  args: string[];
  outcome: 'build' | 'reject';
  /** SHA-256 of each file that a build writes, by name; absent where the manifest is refused. */
  sha256?: Record<string, string>;
  /** Code of our error (docs/errors.md) where the manifest is refused: the reference's reason in our words. */
  code?: string;
}

const CASES = join(__dirname, 'cases');
const TOOLS = join(__dirname, 'tools');

/** All cases, by name. */
export const conformanceCases = (): ConformanceCase[] =>
  readdirSync(CASES)
    .sort()
    .map((name) => {
      const { args, outcome, sha256, code } = JSON.parse(
        readFileSync(join(CASES, name, 'case.json'), 'utf8'),
      ) as ConformanceCase;
      return { name, args, outcome, sha256, code };
    });

/** The files of a case besides its outputs. */
export const CASE_FILES = ['manifest.json', 'resources.json', 'case.json'];

/** Puts a case's files into `folder`, its resources pointing into `inputs`. */
export const placeCase = (name: string, folder: string, inputs: string): void =>
  place(join(CASES, name), folder, inputs);

/** Like {@link placeCase}, for a case of a tool that works on an image. */
export const placeTool = (name: string, folder: string, inputs: string): void =>
  place(join(TOOLS, name), folder, inputs);

function place(from: string, folder: string, inputs: string): void {
  cpSync(from, folder, { recursive: true });
  const resources = readFileSync(join(from, 'resources.json'), 'utf8');
  const path = JSON.stringify(inputs).slice(1, -1);
  writeFileSync(join(folder, 'resources.json'), resources.replaceAll('@INPUTS@', path));
}
