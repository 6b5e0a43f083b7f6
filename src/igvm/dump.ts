import { escapeJson, hex, printable } from '../errors/printable';
import type { ByteSource } from '../memory/byte-source';
import { PAGE_SIZE, pagesFor } from '../memory/page';
import { FIXED_HEADER, FIXED_HEADER_V2_PART, fixedHeaderSize } from './headers/header-tables';
import {
  type Directive,
  type IgvmFile,
  type InitializationHeader,
  PAGE_FLAG,
  type PageDataDirective,
  pageTypeName,
  PLATFORM_TYPE,
  type PlatformHeader,
  type VpContextDirective,
} from './model';
import { pageOverlaps } from './page-overlaps';

/** A value of a dump. Numbers are exact; bigints are 64-bit fields whose bits have meanings. */
export type DumpValue = string | number | bigint | boolean | Uint8Array | DumpValue[] | { [name: string]: DumpValue };

/** One header, or several equal ones, with the field names of the model. */
export type DumpRecord = { [name: string]: DumpValue };

/** A platform header, with its type by name. */
export type PlatformRecord = DumpRecord & { compatibilityMask: number; platformType: string };

/** The contents of a file, section by section. Directives are generated lazily. */
export interface Dump {
  fixedHeader: DumpRecord & { totalFileSize: number };
  platforms: PlatformRecord[];
  initializations: DumpRecord[];
  directives: Iterable<DumpRecord>;
  /** Memory that the file fills more than once, platform by platform; absent if there is none. */
  overlaps?: DumpRecord[];
}

/**
 * Decodes a VP context into records, one per register. The caller supplies it, as register layouts are not part of the
 * format.
 */
export type ContextDecoder = (context: VpContextDirective) => DumpRecord[];

/** Name of a platform type as in the format's specification; the number if it is unknown. */
export const platformTypeName = (type: number): string =>
  Object.entries(PLATFORM_TYPE).find(([, each]) => each === type)?.[0] ?? String(type);

/**
 * Describes a file that {@link readIgvm} has accepted, without reading its pages.
 * @param source the bytes that `file` was read from
 */
export function dump(file: IgvmFile, source: ByteSource, decodeContext: ContextDecoder): Dump {
  return {
    fixedHeader: describeFixedHeader(file, source),
    platforms: file.platforms.map(describePlatform),
    initializations: file.initializations.map(describeInitialization),
    directives: describeDirectives(file.directives, decodeContext),
    ...describeOverlaps(file),
  };
}

function describeOverlaps(file: IgvmFile): Pick<Dump, 'overlaps'> {
  const overlaps = file.platforms.flatMap(({ compatibilityMask }) =>
    pageOverlaps(file, compatibilityMask).map(({ gpa, end }) => ({ type: 'overlap', gpa, end, compatibilityMask })),
  );
  return overlaps.length === 0 ? {} : { overlaps };
}

function describeFixedHeader({ version, arch }: IgvmFile, source: ByteSource): Dump['fixedHeader'] {
  const bytes = new Uint8Array(fixedHeaderSize(version));
  source.read(0, bytes);
  const view = new DataView(bytes.buffer);
  const record: Dump['fixedHeader'] = { ...FIXED_HEADER.read(view, 0) };
  if (version === 2) record.pageSize = FIXED_HEADER_V2_PART.read(view, FIXED_HEADER.size).pageSize;
  record.architecture = arch;
  return record;
}

export const describePlatform = (platform: PlatformHeader): PlatformRecord => ({
  ...platform,
  platformType: platformTypeName(platform.platformType),
});

/** A CoRIM is described by its size only; `dump-corim` shows its contents. */
export function describeInitialization(header: InitializationHeader): DumpRecord {
  if (header.type !== 'corimDocument' && header.type !== 'corimSignature') return fieldsOf(header);
  return { type: header.type, compatibilityMask: header.compatibilityMask, size: header.content.size };
}

function* describeDirectives(directives: readonly Directive[], decodeContext: ContextDecoder): Generator<DumpRecord> {
  let group: PageGroup | undefined;
  for (const directive of directives) {
    if (group !== undefined && (directive.type !== 'pageData' || !group.takes(directive))) {
      yield group.describe();
      group = undefined;
    }
    if (directive.type === 'pageData') (group ??= new PageGroup(directive)).add(directive);
    else yield describeDirective(directive, decodeContext);
  }
  if (group !== undefined) yield group.describe();
}

/** A directive other than page data. */
export function describeDirective(
  directive: Exclude<Directive, PageDataDirective>,
  decodeContext: ContextDecoder,
): DumpRecord {
  switch (directive.type) {
    case 'parameterArea': {
      const { type, index, size, initialData } = directive;
      return { type, index, size, initialDataSize: initialData.size };
    }
    case 'vpContext': {
      const { type, format, gpa, compatibilityMask, vpIndex } = directive;
      return { type, format, gpa, compatibilityMask, vpIndex, registers: decodeContext(directive) };
    }
    default:
      return fieldsOf(directive);
  }
}

/** The fields of a header that consists of one structure; nested structures are nested records. */
const fieldsOf = (header: object): DumpRecord => ({ ...header }) as DumpRecord;

const NAMED_FLAGS = Object.values(PAGE_FLAG).reduce((mask, bit) => mask | bit, 0);

/** The names of a run's type and flags; unnamed flags are combined into one hexadecimal number. */
export function describePageKind({ flags, dataType }: Pick<PageDataDirective, 'flags' | 'dataType'>): {
  dataType: string;
  flags: string[];
} {
  const named = Object.entries(PAGE_FLAG)
    .filter(([, bit]) => (flags & bit) !== 0)
    .map(([name]) => name);
  const unnamed = (flags & ~NAMED_FLAGS) >>> 0;
  return { dataType: pageTypeName(dataType), flags: unnamed === 0 ? named : [...named, hex(unnamed)] };
}

/** Consecutive page data headers of adjacent guest pages, wherever their data is in the file. */
class PageGroup {
  private pages = 0;
  private emptyPages = 0;

  constructor(private readonly first: PageDataDirective) {}

  takes(run: PageDataDirective): boolean {
    const { gpa, flags, dataType, compatibilityMask } = this.first;
    return (
      run.gpa === gpa + this.pages * PAGE_SIZE &&
      run.flags === flags &&
      run.dataType === dataType &&
      run.compatibilityMask === compatibilityMask
    );
  }

  add(run: PageDataDirective): void {
    this.pages += run.pageCount;
    this.emptyPages += run.pageCount - pagesFor(run.content.size);
  }

  describe(): DumpRecord {
    const { type, gpa, compatibilityMask } = this.first;
    const end = gpa + this.pages * PAGE_SIZE;
    const { pages, emptyPages } = this;
    return { type, gpa, end, pages, emptyPages, ...describePageKind(this.first), compatibilityMask };
  }
}

/**
 * A dump as JSON for programs, in pieces: one header per line. Addresses, sizes and masks are numbers; 64-bit fields
 * whose bits have meanings (policies, registers, boundaries) are strings like "0x1f"; bytes are hexadecimal strings.
 * Text from the file is escaped, so that it can't control a terminal.
 */
export function* dumpJson({ fixedHeader, platforms, initializations, directives, overlaps }: Dump): Generator<string> {
  yield `{\n"fixedHeader": ${recordJson(fixedHeader)}`;
  for (const [section, records] of Object.entries({
    platforms,
    initializations,
    directives,
    ...(overlaps === undefined ? {} : { overlaps }),
  })) {
    yield `,\n"${section}": [`;
    let separator = '\n';
    for (const record of records) {
      yield `${separator}${recordJson(record)}`;
      separator = ',\n';
    }
    yield '\n]';
  }
  yield '\n}\n';
}

/** One record as JSON, on one line. */
export const recordJson = (record: DumpRecord): string =>
  escapeJson(
    JSON.stringify(record, (_, value: unknown) => {
      if (typeof value === 'bigint') return `0x${value.toString(16)}`;
      return value instanceof Uint8Array ? hexOf(value) : value;
    }),
  );

/** Bytes in lower-case hexadecimal. */
export const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** Fields that people read in hexadecimal, though they are plain numbers. */
const HEXADECIMAL: ReadonlySet<string> = new Set([
  'gpa',
  'end',
  'size',
  'usedSize',
  'minimumGpa',
  'maximumGpa',
  'relocationAlignment',
  'byteOffset',
  'headerType',
  'magic',
  'checksum',
  'variableHeaderOffset',
  'variableHeaderSize',
  'base',
  'limit',
  'selector',
  'attributes',
]);

/** Width of the column with the header's name. */
const NAME_WIDTH = 20;

/** A dump for people, line by line. Text from the file is escaped, so that it can't control a terminal. */
export function* dumpText(dump: Dump): Generator<string> {
  const names = platformNames(dump);
  yield `Total file size: ${dump.fixedHeader.totalFileSize} bytes\n\n`;
  yield 'Fixed header:\n';
  yield line('', dump.fixedHeader, names);
  yield '\nPlatforms:\n';
  for (const platform of dump.platforms) yield line('', platform, new Map());
  yield '\nInitialization headers:\n';
  for (const header of dump.initializations) yield recordText(header, names);
  yield '\nDirectives:\n';
  for (const directive of dump.directives) yield recordText(directive, names);
  if (dump.overlaps === undefined) return;
  yield '\nOverlapping pages (loaders differ in which of them they load):\n';
  for (const overlap of dump.overlaps) yield recordText(overlap, names);
}

/** The name of each platform by its bit, for {@link fieldsText}. */
export const platformNames = ({ platforms }: Pick<Dump, 'platforms'>): Map<number, string> =>
  new Map(platforms.map(({ compatibilityMask, platformType }) => [compatibilityMask, platformType]));

/** One header: its name and fields on a line, lists on lines of their own. */
function recordText(record: DumpRecord, namesByBit: ReadonlyMap<number, string>): string {
  const { type = '', ...fields } = record;
  const lists = Object.entries(fields).filter((entry): entry is [string, DumpRecord[]] => isRecordList(entry[1]));
  const nested = lists.flatMap(([, records]) => records.map((each) => line('    ', each, namesByBit)));
  const rest = Object.fromEntries(Object.entries(fields).filter(([name]) => !lists.some(([list]) => list === name)));
  return line(textOf('type', type), rest, namesByBit) + nested.join('');
}

const isRecordList = (value: DumpValue): boolean =>
  Array.isArray(value) && value.every((each) => typeof each === 'object' && !(each instanceof Uint8Array));

function line(name: string, record: DumpRecord, namesByBit: ReadonlyMap<number, string>): string {
  const column = name.trim() === '' ? name : printable(name).padEnd(NAME_WIDTH);
  return `  ${column}${printable(fieldsText(record, namesByBit))}\n`;
}

/** The fields of a record on one line. Texts are as in the file: pass them through `printable` before showing them. */
export function fieldsText(record: DumpRecord, namesByBit: ReadonlyMap<number, string> = new Map()): string {
  const parts = Object.entries(record).map(([field, value]) =>
    field === 'compatibilityMask' && namesByBit.size > 0
      ? `for ${platformsOf(Number(value), namesByBit)}`
      : field === 'name'
        ? textOf(field, value)
        : `${field} ${textOf(field, value)}`,
  );
  return parts.join('  ');
}

/** The platforms of a compatibility mask by name; bits of no platform in hexadecimal. */
function platformsOf(mask: number, namesByBit: ReadonlyMap<number, string>): string {
  const names: string[] = [];
  let rest = mask;
  for (const [bit, name] of namesByBit) {
    if ((mask & bit) === 0) continue;
    names.push(name);
    rest &= ~bit;
  }
  if (rest !== 0 || names.length === 0) names.push(`mask 0x${(rest >>> 0).toString(16)}`);
  return names.join(', ');
}

function textOf(field: string, value: DumpValue): string {
  if (typeof value === 'bigint') return `0x${value.toString(16)}`;
  if (typeof value === 'number') return HEXADECIMAL.has(field) ? `0x${value.toString(16)}` : String(value);
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean') return String(value);
  if (value instanceof Uint8Array) return hexOf(value);
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.map((each) => textOf(field, each)).join(', ');
  const parts = Object.entries(value).map(([name, each]) => `${name} ${textOf(name, each)}`);
  return `{ ${parts.join(', ')} }`;
}
