import { hex, hexRange } from '../errors/printable';
import { sha256OfSource } from '../files/hashes';
import {
  describeInitialization,
  describePageKind,
  type DumpRecord,
  type DumpValue,
  fieldsText,
  hexOf,
  platformTypeName,
} from '../igvm/dump';
import type { Directive, IgvmFile, PlatformHeader, VpContextDirective } from '../igvm/model';
import { overlappingRuns } from '../igvm/page-overlaps';
import { vbsVtls } from '../igvm/platforms';
import { type ByteSource, readAll } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { describeVpContext } from '../vp-context/decode';

/** Facts by their subjects. */
export type Facts = ReadonlyMap<string, string>;

/** A difference between the facts of two files; undefined if a file has no such fact. */
export interface FactDifference {
  what: string;
  a?: string;
  b?: string;
}

/** Collects facts in order. A repeated subject gets a number, so that no fact is lost. */
export class FactList {
  private readonly map = new Map<string, string>();
  /** How often each subject has occurred so far. A file may repeat one a million times. */
  private readonly counts = new Map<string, number>();

  get facts(): Facts {
    return this.map;
  }

  add(what: string, value: string): void {
    let count = (this.counts.get(what) ?? 0) + 1;
    const numbered = (): string => (count === 1 ? what : `${what} (${count})`);
    while (this.map.has(numbered())) count++;
    this.counts.set(what, count);
    this.map.set(numbered(), value);
  }
}

/** The differences between two lists of facts, in the order of the first. */
export const compareFacts = (a: Facts, b: Facts): FactDifference[] =>
  [...new Set([...a.keys(), ...b.keys()])]
    .filter((what) => a.get(what) !== b.get(what))
    .map((what) => ({ what, a: a.get(what), b: b.get(what) }));

/**
 * Facts about a file itself, and facts that belong to no particular guest. They include headers for platforms that the file doesn't have,
 * and parameter areas that no guest gets, so that nothing is left out.
 */
export function fileFacts({ version, arch, platforms, initializations, directives }: IgvmFile): Facts {
  const list = new FactList();
  list.add('format version', String(version));
  list.add('architecture', arch);
  for (const header of [...initializations, ...directives]) {
    if (header.type === 'versionString') list.add('version string', textOf(header.value));
    if (header.type === 'unknown') list.add(`header of type ${hex(header.headerType)}`, textOf(header.data));
  }
  const known = platforms.reduce((mask, { compatibilityMask }) => mask | compatibilityMask, 0);
  for (const [what, value] of strayFacts([...initializations, ...directives], known)) list.add(what, value);
  const inserted = new Set(directives.flatMap((each) => (each.type === 'parameterInsert' ? [each.index] : [])));
  for (const [index, area] of areaDirectives(directives)) {
    if (!inserted.has(index)) list.add('parameters that no guest gets', areaText(area));
  }
  return list.facts;
}

/** Headers with masks for platforms that the file doesn't have, or for no platform at all. */
function* strayFacts(headers: readonly object[], known: number): Generator<[string, string]> {
  for (const header of headers) {
    if (!('compatibilityMask' in header) || !('type' in header)) continue;
    const mask = header.compatibilityMask as number;
    const strays = (mask & ~known) >>> 0;
    if (strays === 0 && mask !== 0) continue;
    const place = 'gpa' in header ? ` at GPA ${hex(header.gpa as number)}` : '';
    yield [`${String(header.type)}${place} for platforms that the file does not have`, `mask ${hex(strays)}`];
  }
}

const isFor = (header: object, mask: number): boolean =>
  'compatibilityMask' in header && ((header.compatibilityMask as number) & mask) !== 0;

/**
 * Facts about the registers of a guest.
 * @param severalVtls VPs whose facts state the VTL, because one of the compared guests has them in several VTLs
 */
export function registerFacts(file: IgvmFile, mask: number, severalVtls = vpsInSeveralVtls(file, mask)): Facts {
  const list = new FactList();
  for (const context of contextsOf(file, mask)) {
    const vtl = vtlOf(context);
    const vp = `VP ${context.vpIndex}${vtl !== undefined && severalVtls.has(context.vpIndex) ? ` VTL ${vtl}` : ''}`;
    list.add(`${vp} context`, `${context.format} at GPA ${hex(context.gpa)}`);
    for (const { name = '', ...fields } of describeVpContext(context, file.arch)) {
      list.add(`${vp} ${textOf(name)}`, valueText(fields));
    }
  }
  return list.facts;
}

const contextsOf = ({ directives }: IgvmFile, mask: number): VpContextDirective[] =>
  directives.filter((each): each is VpContextDirective => each.type === 'vpContext' && isFor(each, mask));

/** The VTL of a context's registers; undefined in formats that don't state it. */
const vtlOf = ({ format, data }: VpContextDirective): number | undefined =>
  format === 'vbs' ? vbsVtls(data)[0] : undefined;

/** VPs with contexts in more than one VTL. */
export function vpsInSeveralVtls(file: IgvmFile, mask: number): ReadonlySet<number> {
  const firstVtls = new Map<number, number>();
  const several = new Set<number>();
  for (const context of contextsOf(file, mask)) {
    const { vpIndex } = context;
    const vtl = vtlOf(context);
    if (vtl === undefined) continue;
    if (!firstVtls.has(vpIndex)) firstVtls.set(vpIndex, vtl);
    else if (firstVtls.get(vpIndex) !== vtl) several.add(vpIndex);
  }
  return several;
}

/** Facts about a guest apart from pages and registers. They include page data that other memory overlaps. */
export function headerFacts(file: IgvmFile, platform: PlatformHeader): Facts {
  const list = new FactList();
  const mask = platform.compatibilityMask;
  const { platformType, ...fields } = platform;
  list.add(`platform ${platformTypeName(platformType)}`, valueText(fields));
  for (const header of file.initializations) {
    if (!isFor(header, mask)) continue;
    const isCorim = header.type === 'corimDocument' || header.type === 'corimSignature';
    const { type: _, ...rest } = describeInitialization(header);
    list.add(header.type, isCorim ? contentText(header.content) : valueText(rest));
  }
  for (const [what, value] of directiveFacts(file.directives, mask)) list.add(what, value);
  for (const [what, value] of overlapFacts(file, mask)) list.add(what, value);
  return list.facts;
}

/** The layers of memory that is filled more than once. A comparison by address shows only the first of them. */
function* overlapFacts(file: IgvmFile, mask: number): Generator<[string, string]> {
  for (const run of overlappingRuns(file, mask)) {
    const { dataType, flags } = describePageKind(run);
    const kind = [dataType, ...flags].join(' ');
    const range = hexRange(run.gpa, run.gpa + run.pageCount * PAGE_SIZE);
    yield [`pages over or under others at GPA ${range}`, `${kind}, ${contentText(run.content)}`];
  }
}

/**
 * Directives that are neither pages nor contexts. Parameters are named by the address of their area, because an area's index depends on
 * the rest of the file.
 */
function* directiveFacts(directives: readonly Directive[], mask: number): Generator<[string, string]> {
  const areas = areaDirectives(directives);
  for (const directive of directives) {
    if (!isFor(directive, mask) || directive.type === 'pageData' || directive.type === 'vpContext') continue;
    if (directive.type === 'parameterInsert') {
      yield [`parameters at GPA 0x${directive.gpa.toString(16)}`, areaText(areas.get(directive.index) ?? [])];
    } else if ('gpa' in directive) {
      const { type, gpa, ...rest } = directive;
      yield [`${type} at GPA 0x${gpa.toString(16)}`, valueText(rest)];
    } else {
      const { type, ...rest } = directive;
      yield [type, valueText(rest)];
    }
  }
}

type AreaDirective = Extract<Directive, { type: 'parameterArea' | 'parameter' }>;

/** The facts about each parameter area, by its index, in the order of the file. */
function areaDirectives(directives: readonly Directive[]): Map<number, AreaDirective[]> {
  const areas = new Map<number, AreaDirective[]>();
  for (const directive of directives) {
    if (directive.type !== 'parameterArea' && directive.type !== 'parameter') continue;
    const area = areas.get(directive.index);
    if (area === undefined) areas.set(directive.index, [directive]);
    else area.push(directive);
  }
  return areas;
}

const areaText = (area: readonly AreaDirective[]): string =>
  area
    .flatMap((directive) => {
      if (directive.type === 'parameter') return [`${directive.kind} at 0x${directive.byteOffset.toString(16)}`];
      const { size, initialData } = directive;
      const data = initialData.size > 0 ? [`initial data ${contentText(initialData)}`] : [];
      return [`0x${size.toString(16)} bytes`, ...data];
    })
    .join(', ');

/** The fields except the mask, which depends on the other guests of the file. */
function valueText(fields: object): string {
  const rest = Object.entries(fields as DumpRecord).filter(([name]) => name !== 'compatibilityMask');
  const [only] = rest;
  return rest.length === 1 && only?.[0] === 'value' ? textOf(only[1]) : fieldsText(Object.fromEntries(rest));
}

const textOf = (value: DumpValue): string => fieldsText({ name: value });

/** The largest CoRIM or parameter area that is shown in full, in bytes. */
const SHOWN_BYTES = 32;

/** Small contents in hexadecimal; larger and empty ones by size and digest. */
const contentText = (content: ByteSource): string =>
  content.size > 0 && content.size <= SHOWN_BYTES
    ? hexOf(readAll(content, SHOWN_BYTES))
    : `${content.size} bytes, SHA-256 ${sha256OfSource(content)}`;
