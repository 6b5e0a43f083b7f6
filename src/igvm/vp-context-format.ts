import { PAGE_SIZE } from '../memory/page';
import type { PlatformHeader, VpContextFormat } from './model';
import { platformOf } from './platforms';

/**
 * The format of a context for all platforms in `compatibilityMask`; undefined when the mask names no platform, one that
 * the file does not have, or platforms whose formats differ.
 */
export function vpContextFormat(
  platforms: readonly PlatformHeader[],
  compatibilityMask: number,
): VpContextFormat | undefined {
  let format: VpContextFormat | undefined;
  let known = 0;
  for (const platform of platforms) {
    if ((platform.compatibilityMask & compatibilityMask) === 0) continue;
    known |= platform.compatibilityMask;
    const other = platformOf(platform.platformType)?.contextFormat;
    if (format !== undefined && other !== format) return undefined;
    format = other;
  }
  return known >>> 0 === compatibilityMask ? format : undefined;
}

/**
 * Bytes of a context's structure in the formats that take one page; the rest of the page is zero. A VBS context is a
 * list of registers instead (see {@link vbsContextSize}).
 */
export const CONTEXT_STRUCT_SIZE: Record<Exclude<VpContextFormat, 'vbs' | 'tdx'>, number> = {
  /** IgvmNativeVpContextX64. */
  native: 232,
  /** A VMSA, which may fill its page. */
  snp: PAGE_SIZE,
  /** IgvmVpContextAArch64Cca. */
  cca: 80,
};

/** Bytes of a context in the file, where it is one page. */
export const PAGE_CONTEXT_SIZE = PAGE_SIZE;

/** VbsVpContextHeader: the number of registers. */
export const VBS_HEADER_SIZE = 4;

/** VbsVpContextRegister: VTL, name, padding, value. */
export const VBS_REGISTER_SIZE = 32;

/** Far more than either architecture has; keeps a hostile count from becoming a large allocation. */
export const MOST_VBS_REGISTERS = 1024;

/** Bytes of a VBS context with so many registers. */
export const vbsContextSize = (registers: number): number => VBS_HEADER_SIZE + registers * VBS_REGISTER_SIZE;

/** The VTL of each register of a VBS context whose size is right. */
export function vbsVtls(data: Uint8Array): number[] {
  const vtls: number[] = [];
  for (let at = VBS_HEADER_SIZE; at < data.length; at += VBS_REGISTER_SIZE) vtls.push(data[at] as number);
  return vtls;
}
