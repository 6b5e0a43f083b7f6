import { type ErrorWhere, IgvmError } from '../errors/igvm-error';
import { hex } from '../errors/printable';
import { PAGE_SIZE } from '../memory/page';
import { isKnown, isOptional, type Section, sectionOf } from './headers/header-tables';
import {
  type CorimHeader,
  type Directive,
  type IgvmFile,
  type InitializationHeader,
  PAGE_DATA_TYPE,
  type PageTableRelocationHeader,
  PLATFORM_TYPE,
  type RelocatableRegionHeader,
  type UnknownHeader,
  type VpContextDirective,
} from './model';
import {
  CONTEXT_STRUCT_SIZE,
  PAGE_CONTEXT_SIZE,
  VBS_HEADER_SIZE,
  vbsContextSize,
  vbsVtls,
  vpContextFormat,
} from './platforms';

/**
 * A requirement on a header, possibly in view of earlier headers. Returns the complaint if the header doesn't meet it.
 */
export type Rule<H, S> = (header: H, state: S) => string | undefined;

/** Applies the rules in order. @throws IgvmError IGVM_INVALID with the first complaint */
export function applyRules<H, S>(rules: readonly Rule<H, S>[], header: H, state: S, what: string): void {
  for (const rule of rules) {
    const complaint = rule(header, state);
    if (complaint !== undefined) throw invalidHeader(what, complaint, header);
  }
}

/** A complaint about a header, with its place in the guest. */
export const invalidHeader = (what: string, complaint: string, header: unknown): IgvmError =>
  new IgvmError('IGVM_INVALID', `${what}: ${complaint}`, placeOf(header));

/** A field is a whole number of pages. */
const pageAligned =
  <K extends string>(field: K): Rule<Record<K, number>, unknown> =>
  (header) =>
    isMultiple(header[field], PAGE_SIZE) ? undefined : `${field} ${hex(header[field])} is not a multiple of 4096`;

/** A field is a multiple of another. */
const multipleOf =
  <K extends string, A extends string>(field: K, alignment: A): Rule<Record<K | A, number>, unknown> =>
  (header) =>
    isMultiple(header[field], header[alignment])
      ? undefined
      : `${field} ${hex(header[field])} is not a multiple of ${alignment} ${hex(header[alignment])}`;

/**
 * A header of unknown type, which is kept unchanged. Its type has to be optional, of the section, and different from
 * all known types.
 */
const opaqueIn =
  (section: Section, what: string): Rule<UnknownHeader, unknown> =>
  ({ headerType }) => {
    const isOfSection = isOptional(headerType) && headerType <= 0xffff_ffff && sectionOf(headerType) === section;
    if (!isOfSection) return `type ${hex(headerType)} is not an optional ${what}`;
    return isKnown(headerType) ? `type ${hex(headerType)} is a known type that is not optional` : undefined;
  };

/** Nothing is a multiple of 0: the remainder is NaN. */
const isMultiple = (value: number, of: number): boolean => value % of === 0;

/** VTLs that exist. */
const MOST_VTL = 2;

/** The single bits of a compatibility mask. */
export function* bitsOf(mask: number): Generator<number> {
  for (let bit = 0; bit < 32; bit++) {
    const single = (1 << bit) >>> 0;
    if ((mask & single) !== 0) yield single;
  }
}

function placeOf(header: unknown): ErrorWhere {
  const { gpa, size, pageCount } = header as { gpa?: number; size?: number; pageCount?: number };
  if (gpa === undefined || gpa < 0) return {};
  const bytes = pageCount === undefined ? (size ?? PAGE_SIZE) : pageCount * PAGE_SIZE;
  return { gpa: { start: gpa, end: gpa + bytes } };
}

/** A VP whose registers a loader must change; it needs a VP context. */
interface UsedVp {
  compatibilityMask: number;
  vpIndex: number;
  vtl: number;
}

interface Region {
  compatibilityMask: number;
  start: number;
  end: number;
}

/** State collected from the initialization headers so far. */
export interface InitializationState {
  readonly arch: IgvmFile['arch'];
  /** Compatibility bits of CCA platforms. */
  readonly ccaMask: number;
  readonly usedVps: UsedVp[];
  /** Regions that a loader may move, of either kind. They may not overlap, see {@link overlappingRegion}. */
  readonly regions: Region[];
  readonly pageTables: { compatibilityMask: number; gpa: number; size: number }[];
  pageTableMask: number;
  readonly corimMasks: Record<CorimHeader['type'], number>;
  hasVersionString: boolean;
}

export const newInitializationState = (file: IgvmFile): InitializationState => ({
  arch: file.arch,
  ccaMask: file.platforms
    .filter(({ platformType }) => platformType === PLATFORM_TYPE.CCA)
    .reduce((mask, platform) => mask | platform.compatibilityMask, 0),
  usedVps: [],
  regions: [],
  pageTables: [],
  pageTableMask: 0,
  corimMasks: { corimDocument: 0, corimSignature: 0 },
  hasVersionString: false,
});

type InitializationRules<T extends InitializationHeader['type']> = readonly Rule<
  Extract<InitializationHeader, { type: T }>,
  InitializationState
>[];
type Movable = RelocatableRegionHeader | PageTableRelocationHeader;

const notEmpty: Rule<Movable, unknown> = ({ size }) => (size > 0 ? undefined : 'the region is empty');

const collected: Rule<Movable, InitializationState> = ({ gpa, size, compatibilityMask }, { regions }) => {
  regions.push({ compatibilityMask, start: gpa, end: gpa + size });
  return undefined;
};

const knownVtl: Rule<Movable, InitializationState> = ({ vtl, vpIndex, compatibilityMask }, { usedVps }) => {
  usedVps.push({ compatibilityMask, vpIndex, vtl });
  return vtl <= MOST_VTL ? undefined : `there is no VTL ${vtl}`;
};

const oneCorimForEach: Rule<CorimHeader, InitializationState> = ({ type, compatibilityMask }, { corimMasks }) => {
  // A header for no platform conflicts with no other, so there could be any number of them.
  if (compatibilityMask === 0) return 'it is for no platform';
  const twice = (corimMasks[type] & compatibilityMask) !== 0;
  corimMasks[type] |= compatibilityMask;
  return twice ? 'a platform has more than one' : undefined;
};

/** igvm/src/lib.rs: IgvmInitializationHeader::validate, validate_initialization_headers. */
export const INITIALIZATION_RULES: { readonly [T in InitializationHeader['type']]: InitializationRules<T> } = {
  guestPolicy: [],
  relocatableRegion: [
    pageAligned('size'),
    pageAligned('relocationAlignment'),
    multipleOf('gpa', 'relocationAlignment'),
    multipleOf('minimumGpa', 'relocationAlignment'),
    multipleOf('maximumGpa', 'relocationAlignment'),
    notEmpty,
    knownVtl,
    collected,
  ],
  pageTableRelocation: [
    pageAligned('gpa'),
    pageAligned('size'),
    pageAligned('usedSize'),
    ({ size, usedSize }) =>
      usedSize <= size ? undefined : 'the used part of the page tables is larger than the region',
    notEmpty,
    knownVtl,
    ({ compatibilityMask, gpa, size }, state) => {
      const twice = (state.pageTableMask & compatibilityMask) !== 0;
      state.pageTableMask |= compatibilityMask;
      if (compatibilityMask !== 0) state.pageTables.push({ compatibilityMask, gpa, size });
      return twice ? 'a platform has more than one' : undefined;
    },
    collected,
  ],
  corimDocument: [oneCorimForEach],
  corimSignature: [
    oneCorimForEach,
    ({ compatibilityMask }, { corimMasks }) =>
      (compatibilityMask & ~corimMasks.corimDocument) === 0
        ? undefined
        : 'the document that it signs does not precede it',
  ],
  ccaPolicy: [
    (_, { arch }) => (arch === 'aarch64' ? undefined : `CCA does not exist on ${arch}`),
    ({ attributesRequiredOnes, attributesRequiredZeroes }) =>
      (attributesRequiredOnes & attributesRequiredZeroes) === 0n ? undefined : 'an attribute must be both one and zero',
    ({ compatibilityMask }, { ccaMask }) =>
      (compatibilityMask & ~ccaMask) === 0 ? undefined : 'its compatibility mask names a platform other than CCA',
  ],
  versionString: [
    (_, state) => {
      const twice = state.hasVersionString;
      state.hasVersionString = true;
      return twice ? 'a file has at most one' : undefined;
    },
  ],
  unknown: [opaqueIn('initialization', 'initialization header')],
};

/**
 * A region that begins inside another of the same platform. Found in one sweep, as a hostile file may have a million
 * regions.
 */
export function overlappingRegion({ regions }: InitializationState): Region | undefined {
  const endOfBit = new Float64Array(32);
  return [...regions]
    .sort((a, b) => a.start - b.start)
    .find(({ compatibilityMask, start, end }) => {
      let overlaps = false;
      for (let bit = 0; bit < 32; bit++) {
        if (((compatibilityMask >>> bit) & 1) === 0) continue;
        overlaps ||= (endOfBit[bit] as number) > start;
        endOfBit[bit] = end;
      }
      return overlaps;
    });
}

/** State collected from the headers so far. */
export interface DirectiveState {
  readonly file: IgvmFile;
  readonly pageTables: InitializationState['pageTables'];
  /** Compatibility bits for which VP 0 has a VBS context, by its VTL. */
  readonly contextMasks: number[];
  /** Parameter areas by index. */
  readonly areas: Map<number, ParameterArea>;
  /** Whether parameters must begin in their area. */
  readonly checksOffsets: boolean;
}

interface ParameterArea {
  readonly size: number;
  /** An area that is inserted can't be used again. */
  isInserted: boolean;
}

export const newDirectiveState = (
  file: IgvmFile,
  { pageTables }: InitializationState,
  checksOffsets: boolean,
): DirectiveState => ({
  file,
  pageTables,
  contextMasks: [],
  areas: new Map(),
  checksOffsets,
});

type DirectiveRules<T extends Directive['type']> = readonly Rule<Extract<Directive, { type: T }>, DirectiveState>[];

const PAGE_DATA_TYPES: readonly number[] = Object.values(PAGE_DATA_TYPE);

/** A rule about the parameter area that a header names, which has to be declared before it and not inserted yet. */
const forOpenArea =
  <H extends { index: number }>(
    rule: (header: H, area: ParameterArea, state: DirectiveState) => string | undefined,
  ): Rule<H, DirectiveState> =>
  (header, state) => {
    const area = state.areas.get(header.index);
    if (area === undefined) return `parameter area ${header.index} is not declared before it`;
    return area.isInserted ? `parameter area ${header.index} is inserted before it` : rule(header, area, state);
  };

/** The architecture needs no rule: only platforms of the right architecture have contexts of this format. */
const contextData: Rule<VpContextDirective, unknown> = ({ format, data, vpIndex }) => {
  if (format === 'tdx') return 'TDX has no VP context; its VPs start at the reset vector';
  if (format === 'vbs') return vbsComplaint(data, vpIndex);
  if (data.length !== PAGE_CONTEXT_SIZE) return `a ${format} context has ${PAGE_SIZE} bytes, not ${data.length}`;
  return data.subarray(CONTEXT_STRUCT_SIZE[format]).some((byte) => byte !== 0)
    ? `bytes after the ${format} context are not zero`
    : undefined;
};

function vbsComplaint(data: Uint8Array, vpIndex: number): string | undefined {
  if (data.length < VBS_HEADER_SIZE) return 'the VBS context has no register count';
  const count = new DataView(data.buffer, data.byteOffset, data.length).getUint32(0, true);
  if (count === 0) return 'the VBS context has no registers';
  if (data.length !== vbsContextSize(count)) return `${count} registers do not fit in ${data.length} bytes`;
  const vtls = new Set(vbsVtls(data));
  if (vtls.size > 1) return 'the registers are of several VTLs';
  if (Math.max(...vtls) > MOST_VTL) return `there is no VTL ${[...vtls].join()}`;
  return vpIndex === 0 ? undefined : `a VBS context is for VP 0, not ${vpIndex}`;
}

/** igvm/src/lib.rs: IgvmDirectiveHeader::validate, validate_directive_headers; contexts also as new_from_binary_split. */
export const DIRECTIVE_RULES: { readonly [T in Directive['type']]: DirectiveRules<T> } = {
  pageData: [
    pageAligned('gpa'),
    ({ gpa, pageCount }) =>
      Number.isInteger(pageCount) && pageCount > 0 && Number.isSafeInteger(gpa + pageCount * PAGE_SIZE)
        ? undefined
        : `${pageCount} pages is not a run of pages`,
    ({ dataType }) => (PAGE_DATA_TYPES.includes(dataType) ? undefined : `${dataType} is not a type of page data`),
    ({ content, pageCount }) =>
      content.size <= pageCount * PAGE_SIZE ? undefined : `${content.size} bytes do not fit in ${pageCount} pages`,
  ],
  parameterArea: [
    pageAligned('size'),
    ({ initialData, size }) =>
      initialData.size <= size ? undefined : `${initialData.size} bytes of initial data do not fit in ${size}`,
    ({ index, size }, { areas }) => {
      if (areas.has(index)) return `parameter area ${index} is declared twice`;
      areas.set(index, { size, isInserted: false });
      return undefined;
    },
  ],
  parameter: [
    forOpenArea(({ index, byteOffset }, { size }, { checksOffsets }) =>
      byteOffset <= size || !checksOffsets
        ? undefined
        : `offset ${byteOffset} lies after the end of parameter area ${index}`,
    ),
  ],
  parameterInsert: [
    pageAligned('gpa'),
    forOpenArea((_, area) => {
      area.isInserted = true;
      return undefined;
    }),
    ({ gpa, compatibilityMask }, { pageTables }) =>
      pageTables.some(
        (region) =>
          (region.compatibilityMask & compatibilityMask) !== 0 && gpa >= region.gpa && gpa < region.gpa + region.size,
      )
        ? 'it lies in the region of the page tables'
        : undefined,
  ],
  vpContext: [
    ({ gpa, format }) => (format === 'snp' ? pageAligned('gpa')({ gpa }, undefined) : undefined),
    ({ format, compatibilityMask }, { file }) =>
      vpContextFormat(file.platforms, compatibilityMask) === format
        ? undefined
        : `a ${format} context does not fit the platforms of compatibility mask 0x${compatibilityMask.toString(16)}`,
    contextData,
    ({ format, data, compatibilityMask }, state) => {
      if (format !== 'vbs') return undefined;
      const vtl = data[VBS_HEADER_SIZE] as number;
      state.contextMasks[vtl] = (state.contextMasks[vtl] ?? 0) | compatibilityMask;
      return undefined;
    },
  ],
  requiredMemory: [pageAligned('gpa'), pageAligned('size')],
  errorRange: [pageAligned('gpa')],
  snpIdBlock: [],
  vbsMeasurement: [],
  unknown: [opaqueIn('directive', 'directive')],
};

/** A VP without a context whose registers relocation would change. Only VBS contexts can be changed. */
export const vpWithoutContext = (
  { usedVps }: InitializationState,
  { contextMasks }: DirectiveState,
): UsedVp | undefined =>
  usedVps.find((vp) => vp.vpIndex !== 0 || (vp.compatibilityMask & (contextMasks[vp.vtl] ?? 0)) === 0);
