import { PAGE_SIZE } from '../memory/page';
import { type GuestArch, PLATFORM_TYPE, type PlatformHeader, type PlatformType, type VpContextFormat } from './model';

/** A platform as the format defines it. */
export interface Platform {
  /** Short name: the key of locks, and of files and options where the platform has a launch measurement. */
  readonly name: string;
  /** Name for messages. */
  readonly label: string;
  /** What starts its guests. */
  readonly host: string;
  /** The only architecture that has it. */
  readonly arch?: GuestArch;
  /** Whether memory above a GPA may be visible to the host. */
  readonly hasSharedBoundary: boolean;
  /** How its VP contexts are laid out; TDX has none, its VPs start at the reset vector. */
  readonly contextFormat: VpContextFormat;
}

/** Every platform (igvm_defs: IgvmPlatformType; igvm/src/lib.rs: IgvmPlatformHeader::validate, new_from_binary_split). */
const PLATFORMS: Readonly<Record<PlatformType, Platform>> = {
  [PLATFORM_TYPE.NATIVE]: {
    name: 'native',
    label: 'native',
    host: 'any VMM',
    arch: 'x64',
    hasSharedBoundary: false,
    contextFormat: 'native',
  },
  [PLATFORM_TYPE.VSM_ISOLATION]: {
    name: 'vbs',
    label: 'VBS',
    host: 'Hyper-V or OpenVMM',
    hasSharedBoundary: false,
    contextFormat: 'vbs',
  },
  [PLATFORM_TYPE.SEV_SNP]: {
    name: 'snp',
    label: 'SEV-SNP',
    host: 'an SEV-SNP host',
    arch: 'x64',
    hasSharedBoundary: true,
    contextFormat: 'snp',
  },
  [PLATFORM_TYPE.TDX]: {
    name: 'tdx',
    label: 'TDX',
    host: 'a TDX host',
    arch: 'x64',
    hasSharedBoundary: true,
    contextFormat: 'tdx',
  },
  [PLATFORM_TYPE.SEV]: {
    name: 'sev',
    label: 'SEV',
    host: 'an SEV host',
    arch: 'x64',
    hasSharedBoundary: true,
    contextFormat: 'native',
  },
  [PLATFORM_TYPE.SEV_ES]: {
    name: 'sev-es',
    label: 'SEV-ES',
    host: 'an SEV-ES host',
    arch: 'x64',
    hasSharedBoundary: true,
    contextFormat: 'snp',
  },
  [PLATFORM_TYPE.CCA]: {
    name: 'cca',
    label: 'CCA',
    host: 'an Arm CCA host',
    arch: 'aarch64',
    hasSharedBoundary: true,
    contextFormat: 'cca',
  },
};

/** The short names of all platforms, in the order of their numbers. */
export const PLATFORM_NAMES: readonly string[] = Object.values(PLATFORMS).map(({ name }) => name);

/** The only version of every platform (igvm_defs: IGVM_*_PLATFORM_VERSION). */
export const PLATFORM_VERSION = 1;

/** The platform with a type number from a file; undefined for an unknown number. */
export const platformOf = (type: number): Platform | undefined => PLATFORMS[type as PlatformType];

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

/** Bytes of a VBS context with the given number of registers. */
export const vbsContextSize = (registers: number): number => VBS_HEADER_SIZE + registers * VBS_REGISTER_SIZE;

/** The VTL of each register of a VBS context whose size is right. */
export function vbsVtls(data: Uint8Array): number[] {
  const vtls: number[] = [];
  for (let at = VBS_HEADER_SIZE; at < data.length; at += VBS_REGISTER_SIZE) vtls.push(data[at] as number);
  return vtls;
}
