import type { DirectiveObserver } from '../igvm/stream';

/** What launches the guest; only SEV-SNP digests depend on it. */
export type Vmm = 'hyperv' | 'kvm';

/** A launch measurement of one platform, computed while the guest's directives stream by in file order. */
export interface LaunchDigest extends DirectiveObserver {
  readonly compatibilityMask: number;
  /** What the VMM would do otherwise than the digest assumes; complete when the digest is there. */
  readonly warnings: readonly string[];
  /** The launch digest. Called once, after the last directive. */
  digest(): Promise<Uint8Array>;
  /** Ends worker threads. Needed only when `digest` is never called, because the pass over the guest failed. */
  close(): Promise<void>;
}

/** Whether a directive is part of the guest that is measured; directives without a mask belong to all guests. */
export function isForPlatform(directive: object, compatibilityMask: number): boolean {
  if (!('compatibilityMask' in directive) || typeof directive.compatibilityMask !== 'number') return true;
  // Without sign: what `&` gives is negative when both have bit 31, and then no mask.
  return (directive.compatibilityMask & compatibilityMask) >>> 0 === compatibilityMask;
}
