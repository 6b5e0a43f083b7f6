import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { findProgram } from '../files/find-program';

/** Jest's blocks, or versions of them that skip their tests. */
export interface Blocks {
  describe: jest.Describe;
  it: jest.It;
}

/** Set this where all programs are required, such as in CI, so that no test is skipped unnoticed. */
const FORBIDS_SKIPPING = 'NX_IGVM_SKIP_NOTHING';

/**
 * Blocks of tests that need something on the machine. If it is missing, it is part of their names, which `npm test` lists at its end.
 * @param missing the missing things; undefined if there are none
 */
export function skippedFor(missing: string | undefined): Blocks {
  if (missing === undefined) return { describe, it };
  return { describe: skipped(describe, missing), it: skipped(it, missing) };
}

const isThere = (program: string): boolean =>
  isAbsolute(program) ? existsSync(program) : findProgram(program) !== undefined;

/**
 * Blocks of tests that run programs of the system, or read files, which are named by their paths.
 * @throws an Error if one is missing on a machine where all are required
 */
export function needing(...programs: string[]): Blocks {
  const missing = programs.filter((program) => !isThere(program));
  if (missing.length === 0) return { describe, it };
  if (process.env[FORBIDS_SKIPPING] !== undefined) {
    throw new Error(`these tests need ${missing.join(', ')}: node scripts/system-packages.mjs test`);
  }
  return skippedFor(missing.join(', '));
}

function skipped<T extends jest.Describe | jest.It>(block: T, missing: string): T {
  const named = (name: unknown): string => `${String(name)} [needs ${missing}]`;
  const skip = block.skip as unknown as (name: string, ...rest: unknown[]) => void;
  const each = block.skip.each as unknown as (...table: unknown[]) => (name: string, ...rest: unknown[]) => void;
  const one = (name: unknown, ...rest: unknown[]): void => skip(named(name), ...rest);
  const many =
    (...table: unknown[]) =>
    (name: unknown, ...rest: unknown[]): void =>
      each(...table)(named(name), ...rest);
  return Object.assign(one, {
    each: many,
    only: one,
    skip: Object.assign(one.bind(undefined), { each: many }),
  }) as unknown as T;
}
