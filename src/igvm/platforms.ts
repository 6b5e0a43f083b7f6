/** The platforms of the format, the sizes of their VP contexts, and the isolation types of their guests. */
import { PAGE_SIZE } from '../memory/page';
import {
  type GuestArch,
  PLATFORM_TYPE,
  type PlatformHeader,
  type PlatformType,
  type VpContextFormat,
  type IgvmFile,
} from './model';
import { IgvmError, unreachable } from '../errors/igvm-error';

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
  /** How its VP contexts are laid out. TDX has none: its VPs start at the reset vector. */
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

/** The properties of an isolation type that several folders need. */
interface Isolation {
  /** The platform that its guests are for. */
  readonly platformType: PlatformType;
  /**
   * Whether the processor isolates the guest, rather than the hypervisor. A `linux` image lacks what such guests need
   * at boot.
   */
  readonly byProcessor: boolean;
  /** Whether its guests have a launch measurement, which builds endorse in documents beside the image. */
  readonly isMeasured: boolean;
}

/** Every isolation type by its name in manifests, in options and in the names of sibling files. */
export const ISOLATIONS = {
  // In the format, a guest without isolation is a Hyper-V guest unless it is NATIVE. It has nothing to attest.
  none: { platformType: PLATFORM_TYPE.VSM_ISOLATION, byProcessor: false, isMeasured: false },
  vbs: { platformType: PLATFORM_TYPE.VSM_ISOLATION, byProcessor: false, isMeasured: true },
  snp: { platformType: PLATFORM_TYPE.SEV_SNP, byProcessor: true, isMeasured: true },
  tdx: { platformType: PLATFORM_TYPE.TDX, byProcessor: true, isMeasured: true },
} as const satisfies Record<string, Isolation>;

/** The name of an isolation type. */
export type IsolationName = keyof typeof ISOLATIONS;

/** An isolation type whose guests have a launch measurement. It is also the name of their platform. */
export type MeasuredPlatform = {
  [Name in IsolationName]: (typeof ISOLATIONS)[Name]['isMeasured'] extends true ? Name : never;
}[IsolationName];

export const ISOLATION_NAMES = Object.keys(ISOLATIONS) as IsolationName[];

export const isMeasured = (name: IsolationName): name is MeasuredPlatform => ISOLATIONS[name].isMeasured;

/** Whether an architecture has the isolation type. */
export function existsOn(name: IsolationName, arch: GuestArch): boolean {
  const only = platformOf(ISOLATIONS[name].platformType)?.arch;
  return only === undefined || only === arch;
}

/** The digest of a launch measurement. */
interface LaunchMeasurement {
  readonly algorithm: 'SHA-256' | 'SHA-384';
  /** Whether the digest depends on the VMM that launches the guest. */
  readonly dependsOnVmm: boolean;
}

const MEASUREMENTS: Readonly<Record<MeasuredPlatform, LaunchMeasurement>> = {
  snp: { algorithm: 'SHA-384', dependsOnVmm: true },
  tdx: { algorithm: 'SHA-384', dependsOnVmm: false },
  vbs: { algorithm: 'SHA-256', dependsOnVmm: false },
};

export const MEASURED_PLATFORM_NAMES = Object.keys(MEASUREMENTS) as MeasuredPlatform[];

/** The name in messages and the launch measurement of each measured platform. */
export const MEASURED_PLATFORMS = Object.fromEntries(
  MEASURED_PLATFORM_NAMES.map((name) => {
    const { platformType } = ISOLATIONS[name];
    const { label } = platformOf(platformType) ?? unreachable(`no platform for ${name}`);
    return [name, { platformType, label, ...MEASUREMENTS[name] }];
  }),
) as Record<MeasuredPlatform, LaunchMeasurement & { platformType: PlatformType; label: string }>;

/** The measured platform of a header; undefined when its type has no launch measurement. */
export function measuredPlatformOf(header: PlatformHeader): MeasuredPlatform | undefined {
  return MEASURED_PLATFORM_NAMES.find((name) => MEASURED_PLATFORMS[name].platformType === header.platformType);
}

/**
 * The header of a platform.
 * @throws IgvmError MEASUREMENT_UNAVAILABLE naming the platforms that the file has.
 */
export function platformHeader(file: Pick<IgvmFile, 'platforms'>, platform: MeasuredPlatform): PlatformHeader {
  const header = file.platforms.find((candidate) => measuredPlatformOf(candidate) === platform);
  if (header !== undefined) return header;
  const present = file.platforms.map(
    (candidate) =>
      measuredPlatformOf(candidate) ?? platformOf(candidate.platformType)?.label ?? String(candidate.platformType),
  );
  throw new IgvmError(
    'MEASUREMENT_UNAVAILABLE',
    `the file has no ${platform} platform (it has: ${present.join(', ') || 'none'})`,
  );
}
