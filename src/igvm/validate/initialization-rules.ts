import {
  type CorimHeader,
  type IgvmFile,
  type InitializationHeader,
  type PageTableRelocationHeader,
  PLATFORM_TYPE,
  type RelocatableRegionHeader,
} from '../model';
import { MOST_VTL, multipleOf, opaqueIn, pageAligned, type Rule } from './rule';

/** A VP whose registers a loader must change; it needs a VP context. */
export interface UsedVp {
  compatibilityMask: number;
  vpIndex: number;
  vtl: number;
}

interface Region {
  compatibilityMask: number;
  start: number;
  end: number;
}

/** What the initialization headers so far have fixed. */
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

type Rules<T extends InitializationHeader['type']> = readonly Rule<
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
  // A mask of no platform is in nobody's way, so that there could be any number of them.
  if (compatibilityMask === 0) return 'it is for no platform';
  const twice = (corimMasks[type] & compatibilityMask) !== 0;
  corimMasks[type] |= compatibilityMask;
  return twice ? 'a platform has more than one' : undefined;
};

/** igvm/src/lib.rs: IgvmInitializationHeader::validate, validate_initialization_headers. */
export const INITIALIZATION_RULES: { readonly [T in InitializationHeader['type']]: Rules<T> } = {
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
    ({ size, usedSize }) => (usedSize <= size ? undefined : 'more of the page tables is used than there is'),
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
      (compatibilityMask & ~corimMasks.corimDocument) === 0 ? undefined : 'the document that it signs is not before it',
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

/** A region that begins inside another of the same platform; one sweep, as a hostile file may have a million. */
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
