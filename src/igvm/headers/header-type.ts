import { type Directive, type InitializationHeader, PARAMETER_TYPE } from '../model';

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
