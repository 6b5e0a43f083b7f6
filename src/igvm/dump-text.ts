import type { Dump, DumpRecord, DumpValue } from './dump';
import { hexOf } from './dump-json';
import { printable } from '../errors/printable';

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

/** A dump for people, line by line. Nothing that comes from the file can do anything to a terminal. */
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
  yield '\nPages over pages, of which loaders differ in which they take:\n';
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

/** The fields of a record on one line, texts as they are in the file: `printable` is for whoever shows them. */
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
