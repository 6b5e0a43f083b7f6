import { describePageKind } from '../igvm/dump';
import { type Directive, type IgvmFile, PAGE_DATA_TYPE, PAGE_FLAG } from '../igvm/model';
import { PAGE_SIZE } from '../memory/page';
import { guestPages, type PageSpan, readPages, storedEnd } from './guest-pages';
import { type TaggedRange, TagIndex } from './image-map';

/** The kinds of regions in a guest's memory, as far as a launch distinguishes them. */
export const REGION_KINDS = {
  data: 'Data',
  empty: 'Empty, zeros',
  unmeasured: 'Unmeasured',
  shared: 'Shared with the host',
  secrets: 'Secrets page',
  cpuid: 'CPUID page',
  parameters: 'Filled in by the VMM',
  vpContext: 'Processor state',
} as const;

export type RegionKind = keyof typeof REGION_KINDS;

/** Adjacent pages of a guest that belong together. */
export interface GuestRegion {
  /** Bytes, multiples of PAGE_SIZE; `end` is exclusive. */
  gpa: number;
  end: number;
  kind: RegionKind;
  /** Further properties of its first pages: flags, and a page type that doesn't follow from the kind. */
  marks: string[];
  /** Its name in the map file; several names if regions were joined, none without a map. */
  tags: string[];
  /** Pages without file data. Parameters and processor state have neither. */
  emptyPages: number;
  /** The stretches of page data that it consists of, by ascending address. */
  spans: PageSpan[];
  /** The names of the parameters that the VMM writes there. */
  parameters: string[];
  /** The processors whose state it contains. */
  processors: number[];
}

/** The name of a region, for people. */
export function regionName({ tags, kind, parameters, processors }: GuestRegion): string {
  if (tags.length > 0) return few(tags);
  if (parameters.length > 0) return few(parameters);
  if (processors.length > 0) return `VP ${few(processors.map(String))} context`;
  return REGION_KINDS[kind].toLowerCase();
}

/** Most names in a label. */
const FEW = 3;

const few = (names: readonly string[]): string =>
  names.length <= FEW ? names.join(', ') : `${names.slice(0, FEW).join(', ')} and ${names.length - FEW} more`;

/** Bytes of a region. */
export const regionSize = ({ gpa, end }: Pick<GuestRegion, 'gpa' | 'end'>): number => end - gpa;

/**
 * The memory of one platform's guest by ascending address: pages, split where the name in the map file or the kind of
 * page changes, areas that the VMM fills in, and pages of processor state.
 * @param tags named ranges by ascending address, of the same guest
 * @param options `apart`: pages with different headers are never in one region. By default, only pages of different
 *   kinds are separated
 */
export function guestRegions(
  file: Pick<IgvmFile, 'directives'>,
  compatibilityMask: number,
  tags: readonly TaggedRange[],
  { apart = false }: { apart?: boolean } = {},
): GuestRegion[] {
  const names = new TagIndex(tags);
  const regions: GuestRegion[] = [];
  for (const piece of cutAtTags(guestPages(file, compatibilityMask), names)) addPiece(regions, piece, apart);
  return [...regions, ...otherRegions(file.directives, compatibilityMask, names)].sort((a, b) => a.gpa - b.gpa);
}

interface TaggedSpan extends PageSpan {
  tag?: string;
}

function* cutAtTags(spans: readonly PageSpan[], names: TagIndex): Generator<TaggedSpan> {
  for (const { gpa, end, run } of spans) {
    for (let start = gpa; start < end; ) {
      const { tag, until } = names.at(start);
      // Without names, data and empty pages are separate regions: nothing else shows where a part ends.
      const stored = storedEnd(run);
      const limit = tag === undefined && start < stored ? stored : Number.POSITIVE_INFINITY;
      const stop = Math.min(end, until, limit);
      yield { gpa: start, end: stop, run, tag };
      start = stop;
    }
  }
}

function addPiece(regions: GuestRegion[], { gpa, end, run, tag }: TaggedSpan, apart: boolean): void {
  const emptyPages = Math.max(0, end - Math.max(gpa, storedEnd(run))) / PAGE_SIZE;
  const isEmpty = emptyPages === (end - gpa) / PAGE_SIZE;
  const kind = kindOf(run.flags, run.dataType, isEmpty);
  const marks = marksOf(run, kind);
  const last = regions.at(-1);
  if (
    last?.end === gpa &&
    last.tags[0] === tag &&
    continues(last, kind, tag) &&
    (!apart || last.marks.join() === marks.join())
  ) {
    if (last.kind === 'empty') last.kind = kind;
    last.end = end;
    last.emptyPages += emptyPages;
    last.spans.push({ gpa, end, run });
    return;
  }
  const tags = tag === undefined ? [] : [tag];
  regions.push({ gpa, end, kind, marks, tags, emptyPages, spans: [{ gpa, end, run }], parameters: [], processors: [] });
}

/** A named part is one region even if some of its pages are empty. */
function continues({ kind }: GuestRegion, next: RegionKind, tag: string | undefined): boolean {
  const isPlain = (each: RegionKind): boolean => each === 'data' || each === 'empty';
  return kind === next || (tag !== undefined && isPlain(kind) && isPlain(next));
}

function kindOf(flags: number, dataType: number, isEmpty: boolean): RegionKind {
  if (dataType === PAGE_DATA_TYPE.SECRETS) return 'secrets';
  if (dataType === PAGE_DATA_TYPE.CPUID_DATA || dataType === PAGE_DATA_TYPE.CPUID_XF) return 'cpuid';
  if ((flags & PAGE_FLAG.SHARED) !== 0) return 'shared';
  if ((flags & PAGE_FLAG.UNMEASURED) !== 0) return 'unmeasured';
  return isEmpty ? 'empty' : 'data';
}

/** The properties that each kind implies. */
const IMPLIED: Partial<Record<RegionKind, string>> = {
  unmeasured: 'UNMEASURED',
  shared: 'SHARED',
  secrets: 'SECRETS',
  cpuid: 'CPUID_DATA',
};

function marksOf(run: PageSpan['run'], kind: RegionKind): string[] {
  const { dataType, flags } = describePageKind(run);
  return [dataType, ...flags].filter((mark) => mark !== 'NORMAL' && mark !== IMPLIED[kind]);
}

function otherRegions(directives: readonly Directive[], mask: number, names: TagIndex): GuestRegion[] {
  const sizes = new Map<number, number>();
  const uses = new Map<number, string[]>();
  const regions = new Map<number, GuestRegion>();
  for (const directive of directives) {
    if (directive.type === 'parameterArea') sizes.set(directive.index, directive.size);
    else if (directive.type === 'parameter') {
      const kinds = uses.get(directive.index);
      if (kinds === undefined) uses.set(directive.index, [directive.kind]);
      else kinds.push(directive.kind);
    } else if (directive.type === 'vpContext' && directive.format === 'snp') {
      // Only these contexts lie in the guest's memory; others are registers that the VMM sets.
      if ((directive.compatibilityMask & mask) === 0) continue;
      const region = regions.get(directive.gpa) ?? plainRegion(directive.gpa, PAGE_SIZE, 'vpContext', names);
      region.processors.push(directive.vpIndex);
      regions.set(directive.gpa, region);
    } else if (directive.type === 'parameterInsert') {
      if ((directive.compatibilityMask & mask) === 0) continue;
      const region = plainRegion(directive.gpa, sizes.get(directive.index) ?? PAGE_SIZE, 'parameters', names);
      // One by one: the number of arguments of a call is limited, and a hostile file may have more.
      for (const kind of uses.get(directive.index) ?? []) region.parameters.push(kind);
      regions.set(directive.gpa, region);
    }
  }
  return [...regions.values()];
}

function plainRegion(gpa: number, size: number, kind: RegionKind, names: TagIndex): GuestRegion {
  const { tag } = names.at(gpa);
  const tags = tag === undefined ? [] : [tag];
  return { gpa, end: gpa + size, kind, marks: [], tags, emptyPages: 0, spans: [], parameters: [], processors: [] };
}

/**
 * The regions with neighbours joined until there are at most `limit`, as a picture with more would be unreadable. The
 * closest neighbours are joined first.
 */
export function joinRegions(regions: readonly GuestRegion[], limit: number): GuestRegion[] {
  let joined = [...regions];
  for (let distance = 0; joined.length > limit; distance = Math.max(PAGE_SIZE, distance * 2)) {
    joined = joinWithin(joined, distance);
  }
  return joined;
}

function joinWithin(regions: readonly GuestRegion[], distance: number): GuestRegion[] {
  const joined: GuestRegion[] = [];
  for (const region of regions) {
    const last = joined.at(-1);
    if (last === undefined || region.gpa - last.end > distance) {
      const { tags, spans, parameters, processors } = region;
      joined.push({
        ...region,
        tags: [...tags],
        spans: [...spans],
        parameters: [...parameters],
        processors: [...processors],
      });
      continue;
    }
    last.end = Math.max(last.end, region.end);
    last.kind = last.kind === 'empty' ? region.kind : last.kind;
    last.emptyPages += region.emptyPages;
    for (const tag of region.tags) if (last.tags.at(-1) !== tag) last.tags.push(tag);
    for (const span of region.spans) last.spans.push(span);
    for (const parameter of region.parameters) last.parameters.push(parameter);
    for (const processor of region.processors) last.processors.push(processor);
  }
  return joined;
}

/** Whether a map covers exactly the memory of a file's guests. */
export function fitsMap(
  file: Pick<IgvmFile, 'platforms' | 'directives'>,
  map: readonly (readonly TaggedRange[])[],
): boolean {
  if (map.length !== file.platforms.length) return false;
  return file.platforms.every(({ compatibilityMask }, index) => {
    const named = covered(map[index] ?? []);
    const used = covered(guestRegions(file, compatibilityMask, []));
    return (
      named.length === used.length && named.every(({ gpa, end }, at) => used[at]?.gpa === gpa && used[at].end === end)
    );
  });
}

/** Ranges by ascending address, adjacent ones merged. */
function covered(ranges: readonly { gpa: number; end: number }[]): { gpa: number; end: number }[] {
  const result: { gpa: number; end: number }[] = [];
  for (const { gpa, end } of ranges) {
    const last = result.at(-1);
    if (last !== undefined && gpa <= last.end) last.end = Math.max(last.end, end);
    else result.push({ gpa, end });
  }
  return result;
}

/** A command line takes at most a page. */
const TEXT_BYTES = 4096;

/** Shorter text may well be a coincidence. */
const LEAST_TEXT = 6;

/** The first bytes of a region, up to a page; undefined when it begins with nothing but zeros, or has no data. */
export function firstBytes({ spans }: Pick<GuestRegion, 'spans'>): Uint8Array | undefined {
  const [first] = spans;
  if (first === undefined || storedEnd(first.run) <= first.gpa) return undefined;
  const bytes = new Uint8Array(Math.min(TEXT_BYTES, first.end - first.gpa));
  readPages(first.run, first.gpa, bytes);
  return bytes.every((byte) => byte === 0) ? undefined : bytes;
}

/** Text up to a NUL character. Not only ASCII: a kernel's command line may contain any characters. */
export function textAtStart(bytes: Uint8Array): string | undefined {
  const end = bytes.indexOf(0);
  if (end < LEAST_TEXT) return undefined;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, end));
    return /[^\P{Cc}\t\n\r]/u.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

/** The longest line of printable ASCII. OpenHCL's command lines follow a length field. */
function textWithin(bytes: Uint8Array): string | undefined {
  const lines =
    Buffer.from(bytes)
      .toString('latin1')
      .match(/[\x20-\x7e]+/g) ?? [];
  const longest = lines.reduce((best, line) => (line.length > best.length ? line : best), '');
  return longest.length < LEAST_TEXT ? undefined : longest;
}

/** Whether a region holds a command line, by the names that map files give it. */
export const isCommandLine = ({ tags }: Pick<GuestRegion, 'tags'>): boolean =>
  tags.some((tag) => /command-?line|cmdline/i.test(tag));

/** The text of a region; undefined if it holds none. */
export function textOfRegion(region: Pick<GuestRegion, 'spans'>): string | undefined {
  const bytes = firstBytes(region);
  return bytes && (textAtStart(bytes) ?? textWithin(bytes));
}
