import { crc32 } from '../../src/files/hashes';
import {
  CORIM_DATA,
  FIXED_HEADER,
  fixedHeaderSize,
  MAGIC,
  PAGE_DATA,
  PARAMETER,
  PARAMETER_AREA,
  PLAIN_DIRECTIVES,
  PLAIN_INITIALIZATIONS,
  SUPPORTED_PLATFORM,
  VP_CONTEXT,
  HEADER_TYPE,
  headerSizeFor,
  TYPE_AND_LENGTH_SIZE,
} from '../../src/igvm/headers/header-tables';
import { PARAMETER_TYPE } from '../../src/igvm/model';
import type { Random } from '../engine/random';

/** Offsets of the fixed header's fields. */
const FIELD = FIXED_HEADER.offsets;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** The end of the fixed header for a version, whatever the file's own fields. */
const fixedSize = (view: DataView): number => fixedHeaderSize(view.getUint32(FIELD.formatVersion, true) === 1 ? 1 : 2);

/** Repairs the file's size and the checksum of its headers. */
export function repairIgvm(bytes: Uint8Array): void {
  const view = viewOf(bytes);
  if (bytes.length < fixedHeaderSize(2) || view.getUint32(0, true) !== MAGIC) return;
  view.setUint32(FIELD.totalFileSize, bytes.length, true);
  const start = view.getUint32(FIELD.variableHeaderOffset, true);
  const end = start + view.getUint32(FIELD.variableHeaderSize, true);
  if (end > bytes.length) return;
  view.setUint32(FIELD.checksum, 0, true);
  const crc = crc32(bytes.subarray(start, end), crc32(bytes.subarray(0, fixedSize(view))));
  view.setUint32(FIELD.checksum, crc, true);
}

/** Headers that point to file data, with the offset of the pointer in the structure. */
const FILE_OFFSETS: Readonly<Record<number, number>> = {
  [HEADER_TYPE.pageData]: PAGE_DATA.offsets.fileOffset,
  [HEADER_TYPE.parameterArea]: PARAMETER_AREA.offsets.fileOffset,
  [HEADER_TYPE.vpContext]: VP_CONTEXT.offsets.fileOffset,
  [HEADER_TYPE.corimDocument]: CORIM_DATA.offsets.fileOffset,
  [HEADER_TYPE.corimSignature]: CORIM_DATA.offsets.fileOffset,
};

/** Sizes of the structures by header type. */
const SIZES: Readonly<Record<number, number>> = Object.fromEntries([
  [HEADER_TYPE.supportedPlatform, SUPPORTED_PLATFORM.size],
  [HEADER_TYPE.corimDocument, CORIM_DATA.size],
  [HEADER_TYPE.corimSignature, CORIM_DATA.size],
  [HEADER_TYPE.versionString, 8],
  [HEADER_TYPE.parameterArea, PARAMETER_AREA.size],
  [HEADER_TYPE.pageData, PAGE_DATA.size],
  [HEADER_TYPE.vpContext, VP_CONTEXT.size],
  ...Object.values(PARAMETER_TYPE).map((type) => [type, PARAMETER.size] as const),
  ...Object.entries({ ...PLAIN_INITIALIZATIONS, ...PLAIN_DIRECTIVES }).map(
    ([name, { size }]) => [HEADER_TYPE[name as keyof typeof HEADER_TYPE], size] as const,
  ),
]) as Record<number, number>;

const TYPES = Object.keys(SIZES).map(Number);

/** The variable headers one by one, as far as they can be parsed, and the bytes around them. */
function takeApart(bytes: Uint8Array): { fixed: Uint8Array; headers: Uint8Array[]; data: Uint8Array } | undefined {
  if (bytes.length < fixedHeaderSize(2)) return undefined;
  const view = viewOf(bytes);
  const start = view.getUint32(FIELD.variableHeaderOffset, true);
  const end = Math.min(start + view.getUint32(FIELD.variableHeaderSize, true), bytes.length);
  if (start < fixedHeaderSize(1) || start > end) return undefined;
  const headers: Uint8Array[] = [];
  for (let at = start; at + TYPE_AND_LENGTH_SIZE <= end; ) {
    const next = Math.min(at + headerSizeFor(view.getUint32(at + 4, true)), end);
    headers.push(bytes.slice(at, next));
    at = next;
  }
  return { fixed: bytes.slice(0, start), headers, data: bytes.slice(end) };
}

/** A header with a structure of the right size; its numbers are small or taken from an existing header. */
function newHeader(random: Random, headers: readonly Uint8Array[]): Uint8Array {
  const type = random.pick(TYPES);
  const size = SIZES[type] ?? 8;
  const header = new Uint8Array(headerSizeFor(size));
  const view = viewOf(header);
  view.setUint32(0, type, true);
  view.setUint32(4, size, true);
  const like = headers.length === 0 ? header : random.pick(headers);
  for (let at = TYPE_AND_LENGTH_SIZE; at + 4 <= header.length; at += 4) {
    const isTaken = at + 4 <= like.length && random.oneIn(2);
    view.setUint32(
      at,
      isTaken ? viewOf(like).getUint32(at, true) : random.pick([0, 0, 1, 1, 2, 0x1000, 0x10_0000]),
      true,
    );
  }
  return header;
}

/** Removes, repeats, moves or adds headers, and keeps pointers to file data valid. */
export function mutateIgvm(bytes: Uint8Array, random: Random): Uint8Array {
  const parts = takeApart(bytes);
  if (parts === undefined) return bytes;
  const { fixed, data } = parts;
  const headers = [...parts.headers];
  for (let left = 1 + random.below(4); left > 0; left--) {
    const at = random.below(headers.length + 1);
    const header = headers[random.below(headers.length)] ?? newHeader(random, headers);
    const choice = random.below(5);
    if (choice === 0) headers.splice(at, 1);
    else if (choice === 1) headers.splice(at, 0, header.slice());
    else if (choice === 2) headers.splice(at, 1, header.slice());
    else if (choice === 3) headers.splice(at, 0, newHeader(random, headers));
    else headers.splice(at, 1, changedField(header, random));
  }
  return putTogether(fixed, headers, data, parts.headers);
}

/** Replaces one aligned number of a header. */
function changedField(header: Uint8Array, random: Random): Uint8Array {
  const result = header.slice();
  const fields = (result.length - TYPE_AND_LENGTH_SIZE) >> 2;
  if (fields < 1) return result;
  const at = TYPE_AND_LENGTH_SIZE + 4 * random.below(fields);
  const value = random.pick([
    0, 1, 2, 3, 8, 0x80, 0xfff, 0x1000, 0x1001, 0xf_ffff, 0x10_0000, 0x7fff_f000, 0xffff_ffff,
  ]);
  viewOf(result).setUint32(at, value, true);
  return result;
}

const sizeOf = (parts: readonly Uint8Array[]): number => parts.reduce((sum, part) => sum + part.length, 0);

function putTogether(
  fixed: Uint8Array,
  headers: readonly Uint8Array[],
  data: Uint8Array,
  former: readonly Uint8Array[],
): Uint8Array {
  const moved = sizeOf(headers) - sizeOf(former);
  for (const header of headers) {
    const view = viewOf(header);
    const offset = FILE_OFFSETS[header.length >= TYPE_AND_LENGTH_SIZE ? view.getUint32(0, true) : 0];
    if (offset === undefined || TYPE_AND_LENGTH_SIZE + offset + 4 > header.length) continue;
    const before = view.getUint32(TYPE_AND_LENGTH_SIZE + offset, true);
    if (before !== 0) view.setUint32(TYPE_AND_LENGTH_SIZE + offset, (before + moved) >>> 0, true);
  }
  const result = new Uint8Array(Buffer.concat([fixed, ...headers, data]));
  viewOf(result).setUint32(FIELD.variableHeaderSize, sizeOf(headers), true);
  return result;
}
