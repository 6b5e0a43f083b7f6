import type { ByteSource } from '../memory/byte-source';
import type { PageRun } from '../memory/page';

/**
 * An IGVM file in memory, the same whether it was built or read (docs/architecture.md, "Guest memory consists of runs,
 * not pages"). GPAs, sizes and offsets are numbers, all below 2^53, which the reader checks. Policies and register values
 * are bigints.
 * Source: crates.io igvm_defs 0.5, src/lib.rs; each type below names its structure there.
 */
export interface IgvmFile {
  /** 1: fixed header of 24 bytes, x64. 2: 32 bytes with architecture and page size; needed by aarch64 and NATIVE. */
  version: 1 | 2;
  arch: GuestArch;
  platforms: PlatformHeader[];
  initializations: InitializationHeader[];
  directives: Directive[];
}

export type GuestArch = 'x64' | 'aarch64';

/** IgvmPlatformType. */
export const PLATFORM_TYPE = {
  NATIVE: 0x00,
  VSM_ISOLATION: 0x01,
  SEV_SNP: 0x02,
  TDX: 0x03,
  SEV: 0x04,
  SEV_ES: 0x05,
  CCA: 0x06,
} as const;

export type PlatformType = (typeof PLATFORM_TYPE)[keyof typeof PLATFORM_TYPE];

/** IGVM_VHS_SUPPORTED_PLATFORM (0x1). */
export interface PlatformHeader {
  /** Exactly one bit. */
  compatibilityMask: number;
  /** 0 or 2. */
  highestVtl: number;
  platformType: PlatformType;
  platformVersion: number;
  /** GPA above which memory is visible to the host; 0: none. */
  sharedGpaBoundary: bigint;
}

/** IGVM_VHS_GUEST_POLICY (0x101): SnpPolicy or TdxPolicy bits. */
export interface GuestPolicyHeader {
  type: 'guestPolicy';
  policy: bigint;
  compatibilityMask: number;
}

/** IGVM_VHS_RELOCATABLE_REGION (0x102). */
export interface RelocatableRegionHeader {
  type: 'relocatableRegion';
  compatibilityMask: number;
  vpIndex: number;
  vtl: number;
  isVtl2: boolean;
  applyPc: boolean;
  applyGdtr: boolean;
  relocationAlignment: number;
  gpa: number;
  /** Bytes. */
  size: number;
  minimumGpa: number;
  maximumGpa: number;
}

/** IGVM_VHS_PAGE_TABLE_RELOCATION (0x103). Sizes in bytes. */
export interface PageTableRelocationHeader {
  type: 'pageTableRelocation';
  compatibilityMask: number;
  vpIndex: number;
  vtl: number;
  gpa: number;
  size: number;
  usedSize: number;
}

/** IGVM_VHS_CORIM_DATA (0x104 document, 0x105 signature). */
export interface CorimHeader {
  type: 'corimDocument' | 'corimSignature';
  compatibilityMask: number;
  content: ByteSource;
}

/** IGVM_VHS_CCA_POLICY (0x106). */
export interface CcaPolicyHeader {
  type: 'ccaPolicy';
  compatibilityMask: number;
  attributesRequiredZeroes: bigint;
  attributesRequiredOnes: bigint;
  hashAlgorithm: number;
  lfaPolicy: number;
}

/** IGVM_VHT_VERSION_STRING (0x107): a label of the image for people; at most one in a file. */
export interface VersionStringHeader {
  type: 'versionString';
  value: string;
}

/**
 * An unknown header that loaders may skip, as its type has the optional bit (igvm_defs: IGVM_VHT_OPTIONAL_BIT). It is
 * kept unchanged, so that reading and writing lose nothing.
 */
export interface UnknownHeader {
  type: 'unknown';
  /** With the optional bit. */
  headerType: number;
  data: Uint8Array;
}

export type InitializationHeader =
  | GuestPolicyHeader
  | RelocatableRegionHeader
  | PageTableRelocationHeader
  | CorimHeader
  | CcaPolicyHeader
  | VersionStringHeader
  | UnknownHeader;

/** IGVM_VHS_PAGE_DATA (0x302): one header per page in the file, one run here. */
export interface PageDataDirective extends PageRun {
  type: 'pageData';
}

/** IGVM_VHS_PARAMETER_AREA (0x301). */
export interface ParameterAreaDirective {
  type: 'parameterArea';
  /** Bytes, a multiple of PAGE_SIZE. */
  size: number;
  index: number;
  /** Initial bytes, at most `size`; stored padded to `size`. Empty: offset 0, the area starts as zeros. */
  initialData: ByteSource;
}

/** IGVM_VHS_PARAMETER_INSERT (0x303). */
export interface ParameterInsertDirective {
  type: 'parameterInsert';
  gpa: number;
  compatibilityMask: number;
  index: number;
}

/** What a loader (the VMM) writes into a parameter area: IGVM_VHS_PARAMETER with the header type as value. */
export const PARAMETER_TYPE = {
  vpCount: 0x307,
  srat: 0x308,
  madt: 0x309,
  mmioRanges: 0x30a,
  memoryMap: 0x30c,
  commandLine: 0x30e,
  slit: 0x30f,
  pptt: 0x310,
  deviceTree: 0x312,
  environmentInfo: 0x313,
} as const;

export type ParameterKind = keyof typeof PARAMETER_TYPE;

/** IGVM_VHS_PARAMETER (0x307-0x313). */
export interface ParameterDirective {
  type: 'parameter';
  kind: ParameterKind;
  index: number;
  /** Bytes from the area's start. */
  byteOffset: number;
}

/** How a VP context's bytes are laid out; follows from platform and architecture. */
export type VpContextFormat = 'native' | 'vbs' | 'snp' | 'tdx' | 'cca';

/** IGVM_VHS_VP_CONTEXT (0x304). */
export interface VpContextDirective {
  type: 'vpContext';
  format: VpContextFormat;
  gpa: number;
  compatibilityMask: number;
  vpIndex: number;
  /** The context as stored: 4096 bytes (native, snp, cca), or the VBS header and its registers. */
  data: Uint8Array;
}

/** IGVM_VHS_REQUIRED_MEMORY (0x305). */
export interface RequiredMemoryDirective {
  type: 'requiredMemory';
  gpa: number;
  compatibilityMask: number;
  /** Bytes, a multiple of PAGE_SIZE, below 2^32. */
  size: number;
  vtl2Protectable: boolean;
}

/** IGVM_VHS_SNP_ID_BLOCK (0x30B). */
export interface SnpIdBlockDirective {
  type: 'snpIdBlock';
  compatibilityMask: number;
  authorKeyEnabled: boolean;
  /** Launch digest, 48 bytes. */
  ld: Uint8Array;
  /** 16 bytes each. */
  familyId: Uint8Array;
  imageId: Uint8Array;
  version: number;
  guestSvn: number;
  idKeyAlgorithm: number;
  authorKeyAlgorithm: number;
  idKeySignature: SnpSignature;
  idPublicKey: SnpPublicKey;
  authorKeySignature: SnpSignature;
  authorPublicKey: SnpPublicKey;
}

/** IGVM_VHS_SNP_ID_BLOCK_SIGNATURE: 72 bytes each, little-endian. */
export interface SnpSignature {
  r: Uint8Array;
  s: Uint8Array;
}

/** IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY: 72 bytes each, little-endian. */
export interface SnpPublicKey {
  curve: number;
  qx: Uint8Array;
  qy: Uint8Array;
}

/** IGVM_VHS_VBS_MEASUREMENT (0x311). */
export interface VbsMeasurementDirective {
  type: 'vbsMeasurement';
  compatibilityMask: number;
  version: number;
  productId: number;
  moduleId: number;
  securityVersion: number;
  policyFlags: number;
  bootDigestAlgorithm: number;
  signingAlgorithm: number;
  /** 64 bytes. */
  bootMeasurementDigest: Uint8Array;
  /** 256 bytes. */
  signature: Uint8Array;
  /** 512 bytes. */
  publicKey: Uint8Array;
}

/** IGVM_VHS_ERROR_RANGE (0x30D). */
export interface ErrorRangeDirective {
  type: 'errorRange';
  gpa: number;
  compatibilityMask: number;
  /** Bytes. */
  size: number;
}

export type Directive =
  | PageDataDirective
  | ParameterAreaDirective
  | ParameterInsertDirective
  | ParameterDirective
  | VpContextDirective
  | RequiredMemoryDirective
  | SnpIdBlockDirective
  | VbsMeasurementDirective
  | ErrorRangeDirective
  | UnknownHeader;

/** Flags of a page (igvm_defs: IgvmPageDataFlags, u32). */
export const PAGE_FLAG = { IS_2MB_PAGE: 1, UNMEASURED: 2, SHARED: 4 } as const;

/** Type of a page (igvm_defs: IgvmPageDataType, u16). */
export const PAGE_DATA_TYPE = { NORMAL: 0, SECRETS: 1, CPUID_DATA: 2, CPUID_XF: 3 } as const;

/** Name of a page's type; the number if it is unknown. */
export const pageTypeName = (dataType: number): string =>
  Object.entries(PAGE_DATA_TYPE).find(([, each]) => each === dataType)?.[0] ?? String(dataType);

/**
 * How a loader wants a range to be imported, by the importer's names (openvmm vm/loader/src/importer.rs:
 * BootPageAcceptance).
 */
export type PageAcceptance =
  | 'exclusive'
  | 'exclusiveUnmeasured'
  | 'vpContext'
  | 'secrets'
  | 'cpuid'
  | 'cpuidExtendedState'
  | 'shared';

/** How each acceptance is written in a page's header. `vpContext` has no page data: it becomes a VP context directive. */
export const ACCEPTANCE_HEADER: Record<Exclude<PageAcceptance, 'vpContext'>, { dataType: number; flags: number }> = {
  exclusive: { dataType: PAGE_DATA_TYPE.NORMAL, flags: 0 },
  exclusiveUnmeasured: { dataType: PAGE_DATA_TYPE.NORMAL, flags: PAGE_FLAG.UNMEASURED },
  secrets: { dataType: PAGE_DATA_TYPE.SECRETS, flags: 0 },
  cpuid: { dataType: PAGE_DATA_TYPE.CPUID_DATA, flags: 0 },
  cpuidExtendedState: { dataType: PAGE_DATA_TYPE.CPUID_XF, flags: 0 },
  shared: { dataType: PAGE_DATA_TYPE.NORMAL, flags: PAGE_FLAG.SHARED },
};
