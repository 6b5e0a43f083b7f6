import type {
  ErrorRangeDirective,
  ParameterInsertDirective,
  RequiredMemoryDirective,
  SnpIdBlockDirective,
  SnpPublicKey,
  SnpSignature,
  VbsMeasurementDirective,
} from '../model';
import { address, bool8, bytes, flags, nested, reserved, struct, u16, u32 } from './struct';

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

/** Directives that are a structure and nothing else, by their name in the model. */
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
