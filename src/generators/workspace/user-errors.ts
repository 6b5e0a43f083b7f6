import { IgvmError } from '../../errors/igvm-error';

/**
 * Runs a generator so that a user's mistake reaches the terminal with its place, its code and its cure, and without a
 * stack: Nx prints an error's message and offers the stack of anything that has one.
 */
export async function reportingUserErrors<T>(generate: () => Promise<T>): Promise<T> {
  try {
    return await generate();
  } catch (error) {
    if (!(error instanceof IgvmError)) {
      throw error;
    }
    const failure = new Error(error.format(), { cause: error });
    delete failure.stack;
    throw failure;
  }
}
