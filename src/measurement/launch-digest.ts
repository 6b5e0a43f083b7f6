import type { DirectiveObserver } from '../igvm/stream';
import type { Launch } from './launches';
import type { LoadRefusal } from './load-refusals';

/** What one launch of a guest measures. */
export interface LaunchResult {
  /** Undefined where the digest doesn't depend on what launches the guest. */
  readonly launch?: Launch;
  /** Undefined when the VMM refuses the file. With refusals that are late, what would have been measured. */
  readonly digest?: Uint8Array;
  /** Why there is no such guest. */
  readonly refusals: readonly LoadRefusal[];
  /** What the VMM does otherwise than the file says. */
  readonly warnings: readonly string[];
}

/** The launch measurements of one platform, computed while the guest's directives stream by in file order. */
export interface LaunchDigests extends DirectiveObserver {
  readonly compatibilityMask: number;
  /** One for each launch that was asked for, in that order. Called once, after the last directive. */
  results(): Promise<LaunchResult[]>;
  /** Ends worker threads. Needed only when `results` is never called, because the pass over the guest failed. */
  close(): Promise<void>;
}

/** Whether a directive is part of the guest that is measured; directives without a mask belong to all guests. */
export function isForPlatform(directive: object, compatibilityMask: number): boolean {
  if (!('compatibilityMask' in directive) || typeof directive.compatibilityMask !== 'number') return true;
  // Without sign: what `&` gives is negative when both have bit 31, and then no mask.
  return (directive.compatibilityMask & compatibilityMask) >>> 0 === compatibilityMask;
}
