import { IgvmError } from '../../src/errors/igvm-error';

/**
 * Runs each reader, and throws what the first of them throws if all refuse the input. Anything that is no refusal is a bug
 * and is thrown at once, whatever the others do.
 */
export function eachReader(...readers: (() => unknown)[]): void {
  const refusals = readers.flatMap((reader) => {
    try {
      reader();
      return [];
    } catch (error) {
      if (!(error instanceof IgvmError)) throw error;
      return [error];
    }
  });
  if (refusals.length === readers.length) throw refusals[0];
}
