import type {
  CcaPolicyHeader,
  GuestPolicyHeader,
  PageTableRelocationHeader,
  PlatformHeader,
  RelocatableRegionHeader,
} from '../model';
import { address, flags, reserved, struct, u16, u32, u64, u8 } from './struct';

/** IGVM_VHS_SUPPORTED_PLATFORM, the only structure of the platform section. */
export const SUPPORTED_PLATFORM = struct<PlatformHeader>(
  u32('compatibilityMask'),
  u8('highestVtl'),
  u8('platformType'),
  u16('platformVersion'),
  u64('sharedGpaBoundary'),
);

/** IGVM_VHS_CORIM_DATA. */
export interface CorimFields {
  compatibilityMask: number;
  fileOffset: number;
  /** Bytes. */
  size: number;
}

/** IGVM_VHS_CORIM_DATA. */
export const CORIM_DATA = struct<CorimFields>(u32('compatibilityMask'), u32('fileOffset'), u32('size'), reserved(4));

/** Initialization headers that are a structure and nothing else, by their name in the model. */
export const PLAIN_INITIALIZATIONS = {
  /** IGVM_VHS_GUEST_POLICY. */
  guestPolicy: struct<Omit<GuestPolicyHeader, 'type'>>(u64('policy'), u32('compatibilityMask'), reserved(4)),
  /** IGVM_VHS_RELOCATABLE_REGION. */
  relocatableRegion: struct<Omit<RelocatableRegionHeader, 'type'>>(
    u32('compatibilityMask'),
    u16('vpIndex'),
    u8('vtl'),
    flags(1, 'isVtl2', 'applyPc', 'applyGdtr'),
    address('relocationAlignment'),
    address('gpa'),
    address('size'),
    address('minimumGpa'),
    address('maximumGpa'),
  ),
  /** IGVM_VHS_PAGE_TABLE_RELOCATION. */
  pageTableRelocation: struct<Omit<PageTableRelocationHeader, 'type'>>(
    u32('compatibilityMask'),
    u16('vpIndex'),
    u8('vtl'),
    reserved(1),
    address('gpa'),
    address('size'),
    address('usedSize'),
  ),
  /** IGVM_VHS_CCA_POLICY. */
  ccaPolicy: struct<Omit<CcaPolicyHeader, 'type'>>(
    u32('compatibilityMask'),
    reserved(4),
    u64('attributesRequiredZeroes'),
    u64('attributesRequiredOnes'),
    u8('hashAlgorithm'),
    u8('lfaPolicy'),
    reserved(6),
  ),
} as const;
