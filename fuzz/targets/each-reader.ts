import { IgvmError } from '../../src/errors/igvm-error';

/**
 * Runs each reader, and throws the first refusal if all refuse the input. Anything other than a refusal is a bug
 * and is thrown at once, whatever the other readers do.
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
