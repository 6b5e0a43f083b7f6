import type { Input } from './input';
import type { Random } from './random';

/** A part of the product that reads untrusted bytes. */
export interface Target {
  /** The value for `--target`. */
  name: string;
  /** The code under test. */
  about: string;
  /** Name of its corpus folder; targets with the same format share one. Default: the target's name. */
  corpus?: string;
  /** Text targets get other mutations. */
  format: 'binary' | 'json';
  /** Size of the largest input in bytes. Default: 16 KiB. */
  maxSize?: number;
  /** Values with a meaning in the format, in addition to the constants of the code that the seeds reach. */
  dictionary?: readonly (string | Uint8Array)[];
  /** Mutations that know the format; half of all mutants begin with one. */
  mutate?(bytes: Uint8Array, random: Random): Uint8Array;
  /** Repairs checksums and the like, so that a mutant isn't refused only because of them. Most mutants are repaired. */
  repair?(bytes: Uint8Array): void;
  /** Small valid inputs, the same in each run. */
  seeds(): readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
  /**
   * Passes the input to the product. It may throw IgvmError, which is a refusal. Anything else that is thrown is a bug, or an
   * expectation of this function that doesn't hold.
   */
  run(input: Input): void | Promise<void>;
}

export const corpusName = ({ corpus, name }: Target): string => corpus ?? name;

export const DEFAULT_MAX_SIZE = 16 * 1024;
