/** The types of headers and the fields of their structures, as tables. */
import {
  type Directive,
  type InitializationHeader,
  PARAMETER_TYPE,
  type CcaPolicyHeader,
  type ErrorRangeDirective,
  type GuestArch,
  type GuestPolicyHeader,
  type IgvmFile,
  type PageTableRelocationHeader,
  type ParameterInsertDirective,
  type PlatformHeader,
  type RelocatableRegionHeader,
  type RequiredMemoryDirective,
  type SnpIdBlockDirective,
  type SnpPublicKey,
  type SnpSignature,
  type VbsMeasurementDirective,
} from '../model';
import { address, bool8, bytes, flags, nested, reserved, struct, u16, u32, u64, u8 } from './struct';

/** A header's name in the model. */
export type HeaderName = InitializationHeader['type'] | Directive['type'];

/** Types of the variable headers (igvm_defs: IgvmVariableHeaderType); those of parameters are in {@link PARAMETER_TYPE}. */
export const HEADER_TYPE = {
  supportedPlatform: 0x1,
  guestPolicy: 0x101,
  relocatableRegion: 0x102,
  pageTableRelocation: 0x103,
  corimDocument: 0x104,
  corimSignature: 0x105,
  ccaPolicy: 0x106,
  versionString: 0x107,
  parameterArea: 0x301,
  pageData: 0x302,
  parameterInsert: 0x303,
  vpContext: 0x304,
  requiredMemory: 0x305,
  snpIdBlock: 0x30b,
  errorRange: 0x30d,
  vbsMeasurement: 0x311,
} as const satisfies Record<Exclude<HeaderName, 'parameter' | 'unknown'> | 'supportedPlatform', number>;

/** The names of headers in messages. */
export const HEADER_LABEL: Record<HeaderName, string> = {
  guestPolicy: 'guest policy',
  relocatableRegion: 'relocatable region',
  pageTableRelocation: 'page table relocation',
  corimDocument: 'CoRIM document',
  corimSignature: 'CoRIM signature',
  ccaPolicy: 'CCA policy',
  versionString: 'version string',
  parameterArea: 'parameter area',
  pageData: 'page data',
  parameterInsert: 'parameter insert',
  parameter: 'parameter',
  vpContext: 'VP context',
  requiredMemory: 'required memory',
  snpIdBlock: 'SNP ID block',
  errorRange: 'error range',
  vbsMeasurement: 'VBS measurement',
  unknown: 'unknown header',
};

/** Set in the type of a header that a loader may skip when it does not know it (igvm_defs: IGVM_VHT_OPTIONAL_BIT). */
export const OPTIONAL_BIT = 0x8000_0000;

/** The three sections of the variable headers, in file order. */
export const SECTIONS = ['platform', 'initialization', 'directive'] as const;
export type Section = (typeof SECTIONS)[number];

/** Header types of a section, both ends included (igvm_defs: IGVM_VHT_RANGE_*). */
const SECTION_RANGES: Record<Section, readonly [number, number]> = {
  platform: [0x1, 0x100],
  initialization: [0x101, 0x200],
  directive: [0x301, 0x400],
};

/** The section of a header type, with or without the optional bit; undefined when the type is in none. */
export function sectionOf(headerType: number): Section | undefined {
  const type = headerType % OPTIONAL_BIT;
  return SECTIONS.find((section) => SECTION_RANGES[section][0] <= type && type <= SECTION_RANGES[section][1]);
}

/** Whether a loader may skip a header that it does not know. */
export const isOptional = (headerType: number): boolean => headerType >= OPTIONAL_BIT;

const KNOWN_TYPES: ReadonlySet<number> = new Set([...Object.values(HEADER_TYPE), ...Object.values(PARAMETER_TYPE)]);

/** Whether this library knows the type, ignoring the optional bit. */
export const isKnown = (headerType: number): boolean => KNOWN_TYPES.has(headerType % OPTIONAL_BIT);

/** IGVM_VHS_VARIABLE_HEADER: type and length, before every structure. */
export const TYPE_AND_LENGTH_SIZE = 8;

/** Structures start at multiples of this; the bytes between are zero. */
export const HEADER_ALIGNMENT = 8;

/** Bytes of a header in the file, with type, length and padding, for a structure of `size` bytes. */
export const headerSizeFor = (size: number): number =>
  TYPE_AND_LENGTH_SIZE + Math.ceil(size / HEADER_ALIGNMENT) * HEADER_ALIGNMENT;

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

/** IGVM_FIXED_HEADER_V2, the part after {@link FIXED_HEADER}. */
export const FIXED_HEADER_V2_PART = struct<FixedHeaderV2Fields>(u32('architecture'), u32('pageSize'));

/** IgvmArchitecture. */
export const ARCHITECTURE: Record<GuestArch, number> = { x64: 0, aarch64: 1 };

/** Bytes of the fixed header of a format version. */
export const fixedHeaderSize = (version: IgvmFile['version']): number =>
  version === 1 ? FIXED_HEADER.size : FIXED_HEADER.size + FIXED_HEADER_V2_PART.size;

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

/** Initialization headers that consist of one structure, by their names in the model. */
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

/** IGVM_VHS_PAGE_DATA: one page of a run. */
export interface PageDataFields {
  gpa: number;
  compatibilityMask: number;
  /** From the start of the file; 0: the page is empty. */
  fileOffset: number;
  flags: number;
  dataType: number;
}

/** IGVM_VHS_PAGE_DATA. */
export const PAGE_DATA = struct<PageDataFields>(
  address('gpa'),
  u32('compatibilityMask'),
  u32('fileOffset'),
  u32('flags'),
  u16('dataType'),
  reserved(2),
);

/** IGVM_VHS_PARAMETER_AREA. */
export interface ParameterAreaFields {
  /** Bytes. */
  size: number;
  index: number;
  /** From the start of the file; 0: the area starts as zeros. */
  fileOffset: number;
}

/** IGVM_VHS_PARAMETER_AREA. */
export const PARAMETER_AREA = struct<ParameterAreaFields>(address('size'), u32('index'), u32('fileOffset'));

/** IGVM_VHS_PARAMETER, the structure of all header types in PARAMETER_TYPE. */
export interface ParameterFields {
  index: number;
  byteOffset: number;
}

/** IGVM_VHS_PARAMETER. */
export const PARAMETER = struct<ParameterFields>(u32('index'), u32('byteOffset'));

/** IGVM_VHS_VP_CONTEXT. */
export interface VpContextFields {
  gpa: number;
  compatibilityMask: number;
  fileOffset: number;
  vpIndex: number;
}

/** IGVM_VHS_VP_CONTEXT. */
export const VP_CONTEXT = struct<VpContextFields>(
  address('gpa'),
  u32('compatibilityMask'),
  u32('fileOffset'),
  u16('vpIndex'),
  reserved(2),
);

/** IGVM_VHS_SNP_ID_BLOCK_SIGNATURE. */
const SNP_SIGNATURE = struct<SnpSignature>(bytes('r', 72), bytes('s', 72));

/** IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY. */
const SNP_PUBLIC_KEY = struct<SnpPublicKey>(u32('curve'), reserved(4), bytes('qx', 72), bytes('qy', 72));

/** Directives that consist of one structure, by their names in the model. */
export const PLAIN_DIRECTIVES = {
  /** IGVM_VHS_PARAMETER_INSERT. */
  parameterInsert: struct<Omit<ParameterInsertDirective, 'type'>>(
    address('gpa'),
    u32('compatibilityMask'),
    u32('index'),
  ),
  /** IGVM_VHS_REQUIRED_MEMORY. */
  requiredMemory: struct<Omit<RequiredMemoryDirective, 'type'>>(
    address('gpa'),
    u32('compatibilityMask'),
    u32('size'),
    flags(4, 'vtl2Protectable'),
    reserved(4),
  ),
  /** IGVM_VHS_ERROR_RANGE. */
  errorRange: struct<Omit<ErrorRangeDirective, 'type'>>(address('gpa'), u32('compatibilityMask'), u32('size')),
  /** IGVM_VHS_SNP_ID_BLOCK. */
  snpIdBlock: struct<Omit<SnpIdBlockDirective, 'type'>>(
    u32('compatibilityMask'),
    bool8('authorKeyEnabled'),
    reserved(3),
    bytes('ld', 48),
    bytes('familyId', 16),
    bytes('imageId', 16),
    u32('version'),
    u32('guestSvn'),
    u32('idKeyAlgorithm'),
    u32('authorKeyAlgorithm'),
    nested('idKeySignature', SNP_SIGNATURE),
    nested('idPublicKey', SNP_PUBLIC_KEY),
    nested('authorKeySignature', SNP_SIGNATURE),
    nested('authorPublicKey', SNP_PUBLIC_KEY),
  ),
  /** IGVM_VHS_VBS_MEASUREMENT. */
  vbsMeasurement: struct<Omit<VbsMeasurementDirective, 'type'>>(
    u32('compatibilityMask'),
    u32('version'),
    u32('productId'),
    u32('moduleId'),
    u32('securityVersion'),
    u32('policyFlags'),
    u32('bootDigestAlgorithm'),
    u32('signingAlgorithm'),
    bytes('bootMeasurementDigest', 64),
    bytes('signature', 256),
    bytes('publicKey', 512),
  ),
} as const;
