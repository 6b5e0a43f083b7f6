import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { parse } from 'jsonc-parser';
import { readRegularFile } from '../files/regular-file';
import { asRecord, type Json } from './read-json';

/** project.json and package.json of a folder, as far as they say something of inferred targets. */
export interface ProjectFiles {
  /** The project's name if there is such a file; without a name in it, Nx takes the folder's in lower case. */
  readonly name: string | undefined;
  /** What they say of a target. */
  targetOf(name: string): Partial<TargetConfiguration>;
}

/** Bytes. Nx reads these files, too, and follows links: what it makes of them and what we make of them must not differ. */
const NX_FILE_LIMIT = 2 ** 24;

function read(path: string): Json {
  try {
    // As Nx does: comments are allowed, and a mistake is for Nx to report.
    return asRecord(parse(readRegularFile(path, { limit: NX_FILE_LIMIT }).toString()));
  } catch {
    return {};
  }
}

/** @param folder absolute path */
export function readProjectFiles(folder: string): ProjectFiles {
  const paths = [join(folder, 'project.json'), join(folder, 'package.json')] as const;
  const [project, manifest] = [read(paths[0]), read(paths[1])];
  const block = asRecord(manifest['nx']);
  const sources = [block['targets'], project['targets']].map(asRecord);
  const names = [project['name'], block['name'], manifest['name']].filter((name) => typeof name === 'string');
  return {
    name: paths.some((path) => existsSync(path)) ? (names[0] ?? basename(folder).toLowerCase()) : undefined,
    targetOf: (name) => Object.assign({}, ...sources.map((targets) => asRecord(targets[name]))) as Json,
  };
}
