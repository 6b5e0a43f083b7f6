import type { Input } from './input';
import type { Random } from './random';

/** A way into the product for bytes of others. */
export interface Target {
  /** As `--target` takes it. */
  name: string;
  /** What of the product works on the bytes. */
  about: string;
  /** Name of the folder of its corpus; targets with the same format share one. By default the target's name. */
  corpus?: string;
  /** Text targets get other mutations. */
  format: 'binary' | 'json';
  /** Bytes of the largest input that is tried. Default 16 KiB. */
  maxSize?: number;
  /** Values that the format gives a meaning, besides the constants of the code that the seeds reach. */
  dictionary?: readonly (string | Uint8Array)[];
  /** Changes that know the format; half of all mutants begin with one. */
  mutate?(bytes: Uint8Array, random: Random): Uint8Array;
  /** Makes checksums and the like right again, so that a mutant isn't refused for them alone. Most mutants are. */
  repair?(bytes: Uint8Array): void;
  /** Small valid inputs, the same in each run. */
  seeds(): readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
  /**
   * Hands the input to the product. May throw IgvmError, which is how the product refuses; everything else that is
   * thrown is a bug, in this function also an expectation that doesn't hold.
   */
  run(input: Input): void | Promise<void>;
}

export const corpusName = ({ corpus, name }: Target): string => corpus ?? name;

export const DEFAULT_MAX_SIZE = 16 * 1024;
