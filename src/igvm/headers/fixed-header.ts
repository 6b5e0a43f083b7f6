import type { GuestArch, IgvmFile } from '../model';
import { struct, u32 } from './struct';

/** "IGVM", little-endian. */
export const MAGIC = 0x4d564749;

/** What both versions of the fixed header begin with. Offsets and sizes in bytes, from the start of the file. */
export interface FixedHeaderFields {
  magic: number;
  formatVersion: number;
  variableHeaderOffset: number;
  variableHeaderSize: number;
  totalFileSize: number;
  /** CRC-32 of fixed and variable headers, computed with this field zero. */
  checksum: number;
}

/** What version 2 adds. */
export interface FixedHeaderV2Fields {
  architecture: number;
  pageSize: number;
}

/** IGVM_FIXED_HEADER. */
export const FIXED_HEADER = struct<FixedHeaderFields>(
  u32('magic'),
  u32('formatVersion'),
  u32('variableHeaderOffset'),
  u32('variableHeaderSize'),
  u32('totalFileSize'),
  u32('checksum'),
);

/** IGVM_FIXED_HEADER_V2, the part behind {@link FIXED_HEADER}. */
export const FIXED_HEADER_V2_PART = struct<FixedHeaderV2Fields>(u32('architecture'), u32('pageSize'));

/** IgvmArchitecture. */
export const ARCHITECTURE: Record<GuestArch, number> = { x64: 0, aarch64: 1 };

/** Bytes of the fixed header of a format version. */
export const fixedHeaderSize = (version: IgvmFile['version']): number =>
  version === 1 ? FIXED_HEADER.size : FIXED_HEADER.size + FIXED_HEADER_V2_PART.size;
