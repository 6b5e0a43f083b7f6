/**
 * Single changes to an image's bytes, with a corrected checksum, like those of an attacker. Written from the format's specification
 * (igvm_defs) and without our reader, so that it doesn't share the reader's mistakes.
 */
import { crc32 } from 'node:zlib';

/** The place of a header in an image. */
export interface HeaderPlace {
  type: number;
  /** Offset in the file and length of its fields, in bytes. */
  at: number;
  length: number;
}

const VARIABLE_HEADERS_AT = 8;
const VARIABLE_HEADERS_SIZE = 12;
const CHECKSUM_AT = 20;
/** Type and length before each header. */
const HEAD_SIZE = 8;

/** The variable headers of an image, in the order of the file. */
export function headersOf(image: Buffer): HeaderPlace[] {
  const headers: HeaderPlace[] = [];
  const start = image.readUInt32LE(VARIABLE_HEADERS_AT);
  const end = start + image.readUInt32LE(VARIABLE_HEADERS_SIZE);
  for (let at = start; at < end; ) {
    const length = image.readUInt32LE(at + 4);
    headers.push({ type: image.readUInt32LE(at), at: at + HEAD_SIZE, length });
    at += HEAD_SIZE + Math.ceil(length / 8) * 8;
  }
  return headers;
}

/** Corrects the checksum of the headers: CRC-32 over fixed and variable headers, with its own field zero. */
export function withChecksum(image: Buffer): Buffer {
  const start = image.readUInt32LE(VARIABLE_HEADERS_AT);
  const end = start + image.readUInt32LE(VARIABLE_HEADERS_SIZE);
  image.writeUInt32LE(0, CHECKSUM_AT);
  const fixed = image.subarray(0, image.readUInt32LE(4) === 1 ? 24 : 32);
  image.writeUInt32LE(crc32(image.subarray(start, end), crc32(fixed)), CHECKSUM_AT);
  return image;
}

/** The image with one byte changed. */
export function withByte(image: Buffer, at: number, flip: number): Buffer {
  const changed = Buffer.from(image);
  changed[at] = (changed[at] as number) ^ flip;
  return withChecksum(changed);
}

/** The image without one header: the following headers move up, and the free space is after the headers. */
export function withoutHeader(image: Buffer, { at, length }: HeaderPlace): Buffer {
  const changed = Buffer.from(image);
  const size = HEAD_SIZE + Math.ceil(length / 8) * 8;
  const end = changed.readUInt32LE(VARIABLE_HEADERS_AT) + changed.readUInt32LE(VARIABLE_HEADERS_SIZE);
  changed.copy(changed, at - HEAD_SIZE, at - HEAD_SIZE + size, end);
  changed.fill(0, end - size, end);
  changed.writeUInt32LE(changed.readUInt32LE(VARIABLE_HEADERS_SIZE) - size, VARIABLE_HEADERS_SIZE);
  return withChecksum(changed);
}
