import { PAGE_SIZE } from '../../memory/page';
import { type Directive, type IgvmFile, PAGE_DATA_TYPE, type VpContextDirective } from '../model';
import {
  CONTEXT_STRUCT_SIZE,
  PAGE_CONTEXT_SIZE,
  VBS_HEADER_SIZE,
  vbsContextSize,
  vbsVtls,
  vpContextFormat,
} from '../platforms';
import type { InitializationState, UsedVp } from './initialization-rules';
import { MOST_VTL, opaqueIn, pageAligned, type Rule } from './rule';

/** What the headers so far have fixed. */
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
  /** Then it can't be used again. */
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

type Rules<T extends Directive['type']> = readonly Rule<Extract<Directive, { type: T }>, DirectiveState>[];

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

/** The architecture needs no rule: only platforms of the right one have a context of the format. */
const contextData: Rule<VpContextDirective, unknown> = ({ format, data, vpIndex }) => {
  if (format === 'tdx') return 'TDX has no VP context; its VPs start at the reset vector';
  if (format === 'vbs') return vbsComplaint(data, vpIndex);
  if (data.length !== PAGE_CONTEXT_SIZE) return `a ${format} context has ${PAGE_SIZE} bytes, not ${data.length}`;
  return data.subarray(CONTEXT_STRUCT_SIZE[format]).some((byte) => byte !== 0)
    ? `bytes behind the ${format} context are not zero`
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
export const DIRECTIVE_RULES: { readonly [T in Directive['type']]: Rules<T> } = {
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
      byteOffset <= size || !checksOffsets ? undefined : `offset ${byteOffset} lies behind parameter area ${index}`,
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

/** A VP whose registers relocation changes and that has no context; only VBS contexts can be changed. */
export const vpWithoutContext = (
  { usedVps }: InitializationState,
  { contextMasks }: DirectiveState,
): UsedVp | undefined =>
  usedVps.find((vp) => vp.vpIndex !== 0 || (vp.compatibilityMask & (contextMasks[vp.vtl] ?? 0)) === 0);
