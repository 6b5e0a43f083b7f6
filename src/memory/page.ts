import type { ByteSource } from './byte-source';

/**
 * Size of a page in bytes. Version 2 of the format allows other sizes, but no known file uses them (igvm_defs,
 * PAGE_SIZE_4K).
 */
export const PAGE_SIZE = 4096;

/** Pages needed for `bytes` bytes. */
export const pagesFor = (bytes: number): number => Math.ceil(bytes / PAGE_SIZE);

/** `value` rounded up to a multiple of `alignment`, both below 2^53; any alignment above 0. */
export const alignUp = (value: number, alignment: number): number => Math.ceil(value / alignment) * alignment;

/** `value` rounded down to a multiple of `alignment`. */
export const alignDown = (value: number, alignment: number): number => Math.floor(value / alignment) * alignment;

/**
 * Adjacent guest pages that share everything except their bytes: the unit of the whole program (docs/architecture.md,
 * "Guest memory consists of runs, not pages"). Page `i` holds the content's bytes from `i * PAGE_SIZE` on; a page that the content
 * covers only partly is padded with zeros, and a page after the content is *empty*: it has no file data and file offset
 * 0. (An all-zero page inside the content is not empty: it is stored.)
 */
export interface PageRun {
  /** GPA of the first page in bytes, a multiple of PAGE_SIZE, below 2^52. */
  gpa: number;
  /** Number of pages, at least 1. */
  pageCount: number;
  /** IGVM_VHS_PAGE_DATA flags, see PAGE_FLAG in igvm/model.ts. */
  flags: number;
  /** IgvmPageDataType, see PAGE_DATA_TYPE in igvm/model.ts. */
  dataType: number;
  /** The platforms for which the run is imported, one bit each. */
  compatibilityMask: number;
  /** Bytes from the first page's start; at most pageCount * PAGE_SIZE. */
  content: ByteSource;
}

/** Limits for all guests. The manifest is checked against them, and so is everything that loaders place. */

/**
 * End of the addresses that an image may use. Page tables and VMSAs hold 52 address bits (AMD64 manual, volume 2, 5.3),
 * those of aarch64 no more, and sums of two such addresses are exact numbers.
 */
export const GPA_LIMIT = 2 ** 52;

/** End of the sizes that a RequiredMemory directive holds, in bytes (igvm_defs: `number_of_bytes` is a u32). */
export const REQUIRED_MEMORY_LIMIT = 2 ** 32;

/** Up to this size, all VMMs place RAM from 0 on without a gap; they differ in where they place the rest. Bytes. */
export const COMMON_MEMORY_LIMIT = 2 ** 31;

/**
 * Address bits that can be the shared GPA boundary of UEFI under SNP. Firmware maps the memory there, and the boundary
 * becomes one of the 512 entries of the top page table, which map 512 GiB each.
 */
export const UEFI_BOUNDARY_BITS = { lowest: 39, highest: 47 } as const;

/** Whether a bit can be that boundary. Upstream's release builds shift by its low six bits, and so do we. */
export const isUefiBoundary = (bits: number): boolean =>
  bits % 64 >= UEFI_BOUNDARY_BITS.lowest && bits % 64 <= UEFI_BOUNDARY_BITS.highest;

const UNITS: Record<string, number> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** Bytes of a size as people write it: `512M`, `1G`, `1 GiB`, `536870912`. Undefined if the text is not a size, or is 0. */
export function readMemorySize(text: string | number): number | undefined {
  const [, digits, unit] = /^(\d+)\s*([kmg]?)(?:i?b)?$/i.exec(String(text).trim()) ?? [];
  if (digits === undefined || unit === undefined) return undefined;
  const bytes = Number(digits) * (UNITS[unit.toLowerCase()] ?? Number.NaN);
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined;
}

/** A size as people read it, in MiB. */
export const formatMemorySize = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;
