import type { RegionKind } from '../regions/guest-regions';
import type { MeasuredPlatform } from '../measurement/measured-platform';

/** What launches a guest; `any` where the launch digest doesn't depend on it. */
export type LockVmm = 'hyperv' | 'kvm' | 'any';

/** Adjacent pages of a guest that belong together. */
export interface LockedRegion {
  /** Address in hexadecimal, with 0x. */
  gpa: string;
  /** Bytes in hexadecimal, with 0x. */
  size: string;
  kind: RegionKind;
  /** The map file's name for it. */
  tag?: string;
  /** Of its measured contents. */
  sha256?: string;
}

/** What the guest of one platform is. */
export interface LockedPlatform {
  algorithm: string;
  /** Upper-case hexadecimal; without an entry for a VMM that can't launch the guest. */
  digests: Partial<Record<LockVmm, string>>;
  headers: Record<string, string>;
  registers: Record<string, string>;
  regions: LockedRegion[];
}

/** What an image measures: the contents of igvm.lock.json. */
export interface MeasurementLock {
  $schema?: string;
  lockVersion: number;
  platforms: Partial<Record<MeasuredPlatform, LockedPlatform>>;
}
