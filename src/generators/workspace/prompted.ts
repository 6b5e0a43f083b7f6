import { IgvmError } from '../../errors/igvm-error';

/** Whether Nx asks for options that weren't given (nx/src/utils/params.ts). */
const asks = (): boolean => process.stdout.isTTY === true && process.env['CI'] !== 'true';

/**
 * Options without the answers to questions that a user skipped, which Nx gives as an empty text. Where Nx asks nothing, somebody has
 * written an empty text, most likely by a variable of the shell that isn't set.
 * @param keys the options that a user may be asked for and needn't answer
 * @throws IgvmError GENERATOR_OPTION
 */
export function withoutSkipped<Options extends object>(options: Options, keys: readonly (keyof Options)[]): Options {
  const answered = { ...options };
  for (const key of keys) {
    const value = options[key];
    if (typeof value !== 'string' || value.trim() !== '') continue;
    if (!asks()) throw new IgvmError('GENERATOR_OPTION', `${String(key)} is empty`);
    delete answered[key];
  }
  return answered;
}
