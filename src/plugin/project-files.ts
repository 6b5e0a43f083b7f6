import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TargetConfiguration } from '@nx/devkit';
import { parse } from 'jsonc-parser';
import { asRecord, type Json } from './read-json';

/** project.json and package.json of a folder, as far as they say something of inferred targets. */
export interface ProjectFiles {
  /** Whether one of them gives the project its name. */
  readonly named: boolean;
  /** What they say of a target. */
  targetOf(name: string): Partial<TargetConfiguration>;
}

function read(path: string): Json {
  try {
    // As Nx does: comments are allowed, and a mistake is for Nx to report.
    return asRecord(parse(readFileSync(path, 'utf8')));
  } catch {
    return {};
  }
}

/** @param folder absolute path */
export function readProjectFiles(folder: string): ProjectFiles {
  const project = join(folder, 'project.json');
  const manifest = join(folder, 'package.json');
  const sources = [asRecord(read(manifest)['nx'])['targets'], read(project)['targets']].map(asRecord);
  return {
    named: existsSync(project) || existsSync(manifest),
    targetOf: (name) => Object.assign({}, ...sources.map((targets) => asRecord(targets[name]))) as Json,
  };
}
