import { createHash } from 'node:crypto';
import { describeInitialization, type DumpRecord, type DumpValue, platformTypeName } from '../igvm/dump';
import { hexOf } from '../igvm/dump-json';
import { fieldsText } from '../igvm/dump-text';
import type { Directive, IgvmFile, PlatformHeader } from '../igvm/model';
import type { ByteSource } from '../memory/byte-source';
import { describeVpContext } from '../vp-context/decode';

/** A fact about a guest: what it is about, and what the file says of it. */
export type Facts = Map<string, string>;

/** Something that the files say differently; undefined where a file says nothing. */
export interface FactDifference {
  what: string;
  a?: string;
  b?: string;
}

/** What two lists of facts say differently, in the order of the first. */
function compareFacts(a: Facts, b: Facts): FactDifference[] {
  return [...new Set([...a.keys(), ...b.keys()])]
    .filter((what) => a.get(what) !== b.get(what))
    .map((what) => ({ what, a: a.get(what), b: b.get(what) }));
}

/** What both files say of the registers of a guest's processors. */
export const compareRegisters = (a: IgvmFile, maskA: number, b: IgvmFile, maskB: number): FactDifference[] =>
  compareFacts(registerFacts(a, maskA), registerFacts(b, maskB));

/** What both files say of a guest apart from pages and registers. */
export const compareHeaders = (
  [a, platformA]: [IgvmFile, PlatformHeader],
  [b, platformB]: [IgvmFile, PlatformHeader],
): FactDifference[] => compareFacts(headerFacts(a, platformA), headerFacts(b, platformB));

/** What both files say of themselves and to no guest in particular. */
export const compareFiles = (a: IgvmFile, b: IgvmFile): FactDifference[] => compareFacts(fileFacts(a), fileFacts(b));

function fileFacts({ version, arch, initializations, directives }: IgvmFile): Facts {
  const facts: Facts = new Map([
    ['format version', String(version)],
    ['architecture', arch],
  ]);
  for (const header of [...initializations, ...directives]) {
    if (header.type === 'versionString') facts.set('version string', textOf(header.value));
    if (header.type === 'unknown') facts.set(`header of type 0x${header.headerType.toString(16)}`, textOf(header.data));
  }
  return facts;
}

const isFor = (header: object, mask: number): boolean =>
  'compatibilityMask' in header && ((header.compatibilityMask as number) & mask) !== 0;

/** What a file says of the registers of a guest. */
export function registerFacts(file: IgvmFile, mask: number): Facts {
  const facts: Facts = new Map();
  for (const directive of file.directives) {
    if (directive.type !== 'vpContext' || !isFor(directive, mask)) continue;
    const vp = `VP ${directive.vpIndex}`;
    facts.set(`${vp} context`, `${directive.format} at GPA 0x${directive.gpa.toString(16)}`);
    for (const { name = '', ...fields } of describeVpContext(directive, file.arch)) {
      facts.set(`${vp} ${textOf(name)}`, valueText(fields));
    }
  }
  return facts;
}

/** What a file says of a guest apart from pages and registers. */
export function headerFacts(file: IgvmFile, platform: PlatformHeader): Facts {
  const facts: Facts = new Map();
  const mask = platform.compatibilityMask;
  /** How often each has been said so far: a file may say the same a million times. */
  const counts = new Map<string, number>();
  const add = (what: string, value: string): void => {
    let count = (counts.get(what) ?? 0) + 1;
    const numbered = (): string => (count === 1 ? what : `${what} (${count})`);
    while (facts.has(numbered())) count++;
    counts.set(what, count);
    facts.set(numbered(), value);
  };
  const { platformType, ...fields } = platform;
  add(`platform ${platformTypeName(platformType)}`, valueText(fields));
  for (const header of file.initializations) {
    if (!isFor(header, mask)) continue;
    const isCorim = header.type === 'corimDocument' || header.type === 'corimSignature';
    const { type: _, ...rest } = describeInitialization(header);
    add(header.type, isCorim ? contentText(header.content) : valueText(rest));
  }
  for (const [what, value] of directiveFacts(file.directives, mask)) add(what, value);
  return facts;
}

/**
 * Directives that are neither pages nor contexts. Parameters are named by the address of the area that they go to: the
 * areas' indices depend on what else is in the file.
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

/** What is said of each parameter area, by its index, in the order of the file. */
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

/** The fields but for the mask, which depends on the other guests of the file. */
function valueText(fields: object): string {
  const rest = Object.entries(fields as DumpRecord).filter(([name]) => name !== 'compatibilityMask');
  const [only] = rest;
  return rest.length === 1 && only?.[0] === 'value' ? textOf(only[1]) : fieldsText(Object.fromEntries(rest));
}

const textOf = (value: DumpValue): string => fieldsText({ name: value });

/** Bytes of a CoRIM or parameter area that are worth showing as they are. */
const SHOWN_BYTES = 32;

/** Small contents in hexadecimal, larger ones by size and digest. */
function contentText(content: ByteSource): string {
  const hash = createHash('sha256');
  const chunk = new Uint8Array(Math.min(content.size, 2 ** 20));
  for (let at = 0; at < content.size; at += chunk.length) {
    const part = chunk.subarray(0, Math.min(chunk.length, content.size - at));
    content.read(at, part);
    if (content.size <= SHOWN_BYTES) return hexOf(part);
    hash.update(part);
  }
  return `${content.size} bytes, SHA-256 ${hash.digest('hex')}`;
}
