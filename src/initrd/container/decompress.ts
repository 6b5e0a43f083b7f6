/** Compressed streams of container images, which come from strangers: memory stays bounded, whatever they say. */
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { Decompress } from 'fzstd';
import { ByteReader } from '../../resources/byte-reader';
import { UnpackError } from '../../resources/decompress';

type Chunks = AsyncIterable<Uint8Array>;

/** Bytes of memory that a zstd frame may ask for: what the program zstd allows without being asked. */
export const LARGEST_WINDOW = 2 ** 27;

const GZIP = [0x1f, 0x8b];
const ZSTD = [0x28, 0xb5, 0x2f, 0xfd];
/** The first number of a frame that holds no data; the last four bits are any. */
const ZSTD_SKIPPABLE = 0x184d2a50;

/**
 * The content of a stream that is compressed with gzip or zstd, told by its first bytes, or not at all. The compressor's own
 * checksum needn't be right: images have digests.
 * @throws UnpackError, and what reading `chunks` throws
 */
export async function* decompressed(chunks: Chunks): AsyncGenerator<Uint8Array> {
  const reader = new ByteReader(chunks);
  const kind = kindOf(await reader.peek(4));
  if (kind === 'gzip') yield* gunzip(reader);
  else if (kind === 'zstd') yield* unzstd(reader);
  else yield* reader.remaining();
}

/** @param start four bytes, or all there are */
export const isCompressed = (start: Uint8Array): boolean => kindOf(start) !== undefined;

function kindOf(start: Uint8Array): 'gzip' | 'zstd' | undefined {
  const begins = (magic: readonly number[]): boolean => magic.every((byte, index) => start[index] === byte);
  const number = start.length < 4 ? 0 : Buffer.from(start).readUInt32LE(0);
  if (begins(GZIP)) return 'gzip';
  return begins(ZSTD) || isSkippable(number) ? 'zstd' : undefined;
}

const isSkippable = (magic: number): boolean => (magic & 0xfffffff0) >>> 0 === ZSTD_SKIPPABLE;

async function* gunzip(reader: ByteReader): AsyncGenerator<Uint8Array> {
  const unzip = createGunzip();
  const source = Readable.from(reader.remaining());
  let failure: unknown;
  source.on('error', (error) => {
    failure = error;
    unzip.destroy(error);
  });
  source.pipe(unzip);
  try {
    for await (const chunk of unzip) yield chunk as Uint8Array;
  } catch (error) {
    throw failure ?? new UnpackError(`is damaged: ${(error as Error).message}`);
  } finally {
    source.destroy();
    unzip.destroy();
  }
}

/**
 * Frame by frame, as their sizes and what they ask for have to be known: the package takes any window, and calls itself for
 * each further frame (RFC 8878, 3.1).
 */
async function* unzstd(reader: ByteReader): AsyncGenerator<Uint8Array> {
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
