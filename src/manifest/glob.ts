import { resolve } from 'node:path';
import type * as FastGlob from 'fast-glob';

/**
 * Absolute paths of the files that a resource's pattern matches, sorted. Links count as what they point to.
 * @param cwd absolute path of the folder that a relative pattern starts from
 */
export function matchGlob(pattern: string, cwd: string): string[] {
  // Loaded when it is needed: inference reads manifests, and most have no pattern.
  const fastGlob = require('fast-glob') as typeof FastGlob;
  // A leading "!" would turn the pattern into its opposite.
  const literalStart = pattern.replace(/^!(?!\()/, '\\!');
  return fastGlob
    .sync(literalStart, { cwd, absolute: true, dot: true, onlyFiles: true })
    .map((path) => resolve(path))
    .sort();
}
