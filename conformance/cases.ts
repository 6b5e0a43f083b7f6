import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What igvmfilegen does with a manifest, as `case.json` records it. */
export interface ConformanceCase {
  name: string;
  /** Extra flags. */
  args: string[];
  /** SHA-256 of each file that a build writes, by name; absent where the manifest is refused. */
  sha256?: Record<string, string>;
}

const CASES = join(__dirname, 'cases');

/** All cases, by name. */
export const conformanceCases = (): ConformanceCase[] =>
  readdirSync(CASES)
    .sort()
    .map(
      (name) =>
        ({ name, ...(JSON.parse(readFileSync(join(CASES, name, 'case.json'), 'utf8')) as object) }) as ConformanceCase,
    );

/** Puts a case's manifest and resources into `folder`, the resources pointing into `inputs`. */
export function placeCase(name: string, folder: string, inputs: string): void {
  writeFileSync(join(folder, 'manifest.json'), readFileSync(join(CASES, name, 'manifest.json')));
  const resources = readFileSync(join(CASES, name, 'resources.json'), 'utf8');
  const path = JSON.stringify(inputs).slice(1, -1);
  writeFileSync(join(folder, 'resources.json'), resources.replaceAll('@INPUTS@', path));
}
