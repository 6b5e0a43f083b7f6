import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NxJsonConfiguration, TargetConfiguration } from '@nx/devkit';
import { parse } from 'jsonc-parser';

const asRecord = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};

/** project.json and package.json of a folder, as far as they say something of inferred targets. */
export interface ProjectFiles {
  /** Whether one of them gives the project its name. */
  readonly named: boolean;
  /** What they say of a target. */
  targetOf(name: string): Partial<TargetConfiguration>;
}

function read(path: string): Record<string, unknown> {
  try {
    // As Nx does, with comments allowed and without a complaint.
    return asRecord(parse(readFileSync(path, 'utf8')));
  } catch {
    return {};
  }
}

export function readProjectFiles(folder: string): ProjectFiles {
  const project = join(folder, 'project.json');
  const manifest = join(folder, 'package.json');
  const sources = [asRecord(read(manifest)['nx'])['targets'], read(project)['targets']].map(asRecord);
  return {
    named: existsSync(project) || existsSync(manifest),
    targetOf: (name) =>
      Object.assign({}, ...sources.map((targets) => asRecord(targets[name]))) as Partial<TargetConfiguration>,
  };
}

/** What nx.json's target defaults say of a target. */
export function targetDefaults(
  nxJson: NxJsonConfiguration,
  executor: string,
  name: string,
): Partial<TargetConfiguration> {
  const defaults = asRecord(nxJson.targetDefaults);
  return asRecord(defaults[executor] ?? defaults[name]);
}

/** All values that an option of a target can have: with each of its configurations, and without. */
export function optionValues(targets: readonly Partial<TargetConfiguration>[], option: string): string[] {
  const values = targets.flatMap(({ options, configurations }) => [
    asRecord(options)[option],
    ...Object.values(asRecord(configurations)).map((configuration) => asRecord(configuration)[option]),
  ]);
  return [...new Set(values.filter((value) => typeof value === 'string'))];
}
