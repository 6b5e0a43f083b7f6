import { type GuestArch, PLATFORM_TYPE, type PlatformType, type VpContextFormat } from './model';

/** What the format says of a platform. */
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

/** The platform of a type as a file has it; undefined for a number that is none. */
export const platformOf = (type: number): Platform | undefined => PLATFORMS[type as PlatformType];
