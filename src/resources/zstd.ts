/** Data that is compressed with zstd, from whoever: memory stays bounded, whatever it says. */
import type { Decompress } from 'fzstd';
import { type ByteReader, UnpackError } from './byte-reader';

/** Bytes of memory that a zstd frame may ask for: what the program zstd allows without being asked. */
const LARGEST_WINDOW = 2 ** 27;

const ZSTD = [0x28, 0xb5, 0x2f, 0xfd];
/** The first number of a frame that holds no data; the last four bits are any. */
const ZSTD_SKIPPABLE = 0x184d2a50;

/** Whether data is that of zstd, by its first four bytes. */
export function isZstd(start: Uint8Array): boolean {
  if (start.length < 4) return false;
  return ZSTD.every((byte, index) => start[index] === byte) || isSkippable(Buffer.from(start).readUInt32LE(0));
}

const isSkippable = (magic: number): boolean => (magic & 0xfffffff0) >>> 0 === ZSTD_SKIPPABLE;

/**
 * Unpacks frame by frame, as their sizes and what they ask for have to be known: the package takes any window, and calls itself for
 * each further frame (RFC 8878, 3.1). The checksum behind a frame needn't be right: whose data it is has its digest.
 * @throws UnpackError, and what reading `reader` throws
 */
export async function* unzstd(reader: ByteReader): AsyncGenerator<Uint8Array> {
  const { Decompress: Decompressor } = require('fzstd') as typeof import('fzstd');
  while ((await reader.peek(1)).length > 0) {
    const magic = (await reader.read(4)).readUInt32LE(0);
    if (isSkippable(magic)) {
      await reader.skip((await reader.read(4)).readUInt32LE(0));
      continue;
    }
    if (magic !== Buffer.from(ZSTD).readUInt32LE(0)) throw new UnpackError('is damaged: no zstd frame begins here');
    const ready: Uint8Array[] = [];
    const frame = new Decompressor((chunk) => void ready.push(chunk));
    for await (const part of frameParts(reader)) {
      push(frame, part);
      yield* ready.splice(0);
    }
    push(frame, new Uint8Array(0), true);
    yield* ready;
  }
}

function push(frame: Decompress, part: Uint8Array, final = false): void {
  try {
    frame.push(part, final);
  } catch (error) {
    throw new UnpackError(`is damaged: ${(error as Error).message}`);
  }
}

/** A zstd frame behind its magic number, in pieces: its header, each block, and its checksum. */
async function* frameParts(reader: ByteReader): AsyncGenerator<Uint8Array> {
  const [descriptor = 0] = await reader.read(1);
  const isSingle = (descriptor & 0x20) !== 0;
  const sizeBytes = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
  if (dictionaryBytes > 0) throw new UnpackError('needs a dictionary');
  const header = await reader.read((isSingle ? 0 : 1) + sizeBytes);
  const exponent = 10 + ((header[0] ?? 0) >> 3);
  const window = isSingle ? sizeOf(header) : 2 ** exponent * (1 + ((header[0] ?? 0) & 7) / 8);
  if (window > LARGEST_WINDOW) {
    throw new UnpackError(`asks for ${window} bytes of memory, and ${LARGEST_WINDOW} is the most that is taken`);
  }
  yield Buffer.concat([Buffer.from(ZSTD), Buffer.of(descriptor), header]);
  for (;;) {
    const block = await reader.read(3);
    const bits = block.readUIntLE(0, 3);
    const isRun = ((bits >> 1) & 3) === 1;
    yield Buffer.concat([block, await reader.read(isRun ? 1 : bits >> 3)]);
    if ((bits & 1) !== 0) break;
  }
  if ((descriptor & 4) !== 0) yield await reader.read(4);
}

/** A little-endian number of 1, 2, 4 or 8 bytes; that of 2 bytes counts from 256. */
function sizeOf(bytes: Buffer): number {
  if (bytes.length === 8) return Number(bytes.readBigUInt64LE(0));
  return bytes.readUIntLE(0, bytes.length) + (bytes.length === 2 ? 256 : 0);
}
