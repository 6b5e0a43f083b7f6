/** Compressed data, recognised by its first bytes and unpacked as a stream. Memory is bounded, whatever the data claims. */
import { pipeline, Readable, type Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import type { Decompress } from 'fzstd';
import { IgvmError } from '../errors/igvm-error';

/** A format of compressed data. Without `unpack`, it is recognised but not supported. */
interface Format {
  magic: readonly number[];
  unpack?: (source: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;
  /** A program that unpacks it. */
  program: string;
}

const FORMATS = {
  gzip: { magic: [0x1f, 0x8b], unpack: gunzip, program: 'gzip -dc' },
  xz: { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], unpack: unxz, program: 'xz -dc' },
  zstd: { magic: [0x28, 0xb5, 0x2f, 0xfd], unpack: unzstdStream, program: 'zstd -dc' },
  lz4: { magic: [0x04, 0x22, 0x4d, 0x18], program: 'lz4 -dc' },
  // The format that the kernel's build writes.
  'lz4 (legacy)': { magic: [0x02, 0x21, 0x4c, 0x18], program: 'lz4 -dc' },
  bzip2: { magic: [0x42, 0x5a, 0x68], program: 'bzip2 -dc' },
  lzma: { magic: [0x5d, 0x00, 0x00], program: 'xz -dc --format=lzma' },
  lzo: { magic: [0x89, 0x4c, 0x5a, 0x4f, 0x00], program: 'lzop -dc' },
} as const satisfies Record<string, Format>;

export type Compression = keyof typeof FORMATS;

/** The number of first bytes that determine the format. */
export const MAGIC_SIZE = 6;

/** The compression of data, by its first {@link MAGIC_SIZE} bytes; undefined for an unknown one. */
export function compressionOf(start: Uint8Array): Compression | undefined {
  const known = Object.keys(FORMATS) as Compression[];
  return known.find((name) => FORMATS[name].magic.every((byte, index) => start[index] === byte));
}

/** Whether {@link decompress} supports a compression. */
export const isUnpacked = (compression: Compression): boolean => 'unpack' in FORMATS[compression];

/**
 * Unpacks a stream.
 * @param limit the most unpacked bytes
 * @throws UnpackError for data that is damaged, needs too much memory, has too many bytes, or has an unsupported format
 */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  compression: Compression,
  limit: number,
): AsyncGenerator<Uint8Array> {
  const { unpack, program }: Format = FORMATS[compression];
  if (unpack === undefined) {
    throw new UnpackError(`is compressed with ${compression}, which is not supported: unpack it with \`${program}\``);
  }
  let size = 0;
  try {
    for await (const chunk of unpack(source)) {
      size += chunk.length;
      if (size > limit) throw new UnpackError(`unpacks to more than ${limit} bytes, which is the limit`);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof UnpackError || error instanceof IgvmError) throw error;
    throw new UnpackError(`cannot be unpacked as ${compression}: ${reasonOf(error)}`);
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** @throws what reading the source throws, and errors of zlib, whose codes begin with `Z_` */
function gunzip(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return through(source, zlib.createGunzip());
}

/** Connects a stream of Node with its input. An error in either ends both. */
function through(source: AsyncIterable<Uint8Array>, stream: Transform): AsyncIterable<Uint8Array> {
  // The stream itself reports errors.
  pipeline(Readable.from(source, { objectMode: false }), stream, () => undefined);
  return stream;
}

/** zlib since Node 22.15. */
interface ZstdOfNode {
  createZstdDecompress?: () => Transform;
}

async function* unzstdStream(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { createZstdDecompress } = zlib as ZstdOfNode;
  if (createZstdDecompress !== undefined) {
    yield* through(source, createZstdDecompress());
    return;
  }
  yield* unzstd(new ByteReader(source));
}

/** Error numbers of xz-embedded (xz.h, `enum xz_ret`). */
const XZ_REASONS: Readonly<Record<string, string>> = {
  4: 'its dictionary is larger than 64 MiB',
  6: 'it has a filter for machine code (BCJ), a SHA-256 check, or another option that is not supported',
  7: 'it is damaged',
  8: 'it ends early or is damaged',
};

async function* unxz(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { XzReadableStream } = require('xz-decompress') as typeof import('xz-decompress');
  const input = Readable.toWeb(Readable.from(source, { objectMode: false }));
  const stream = new XzReadableStream(input as unknown as ConstructorParameters<typeof XzReadableStream>[0]);
  try {
    yield* stream as unknown as AsyncIterable<Uint8Array>;
  } catch (error) {
    const [, number] = /error code (\d+)/.exec(reasonOf(error)) ?? [];
    throw new UnpackError(
      `cannot be unpacked as xz: ${XZ_REASONS[number ?? ''] ?? reasonOf(error)}; \`xz -dc\` may be able to`,
    );
  }
}

/** Why data can't be unpacked. The caller adds the name of the data. */
export class UnpackError extends Error {}

/** Reads a stream of bytes in pieces of given sizes, without holding more than one piece. */
export class ByteReader {
  private readonly source: AsyncIterator<Uint8Array>;
  private rest: Uint8Array = new Uint8Array(0);
  /** The number of bytes read so far. */
  position = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.source = source[Symbol.asyncIterator]();
  }

  /** Up to `size` bytes, without consuming them; fewer at the end. For small sizes. */
  async peek(size: number): Promise<Uint8Array> {
    while (this.rest.length < size) {
      const { done, value } = await this.source.next();
      if (done === true) break;
      this.rest = this.rest.length === 0 ? value : Buffer.concat([this.rest, value]);
    }
    return this.rest.subarray(0, size);
  }

  /** Exactly `size` bytes. For small sizes. @throws UnpackError when there are fewer */
  async read(size: number): Promise<Buffer> {
    const bytes = await this.peek(size);
    if (bytes.length < size) throw endsEarly();
    this.rest = this.rest.subarray(size);
    this.position += size;
    return Buffer.from(bytes);
  }

  /** The next `size` bytes in pieces of any size. The caller must consume all of them. @throws UnpackError when there are fewer */
  async *take(size: number): AsyncGenerator<Uint8Array> {
    for (let left = size; left > 0; ) {
      if (this.rest.length === 0 && (await this.peek(1)).length === 0) throw endsEarly();
      const part = this.rest.subarray(0, left);
      this.rest = this.rest.subarray(part.length);
      this.position += part.length;
      left -= part.length;
      yield part;
    }
  }

  /** @throws UnpackError when there are fewer bytes */
  async skip(size: number): Promise<void> {
    const taken = this.take(size);
    while ((await taken.next()).done !== true);
  }

  /** The rest of the stream. */
  async *remaining(): AsyncGenerator<Uint8Array> {
    if (this.rest.length > 0) yield this.rest;
    for (;;) {
      const { done, value } = await this.source.next();
      if (done === true) return;
      yield value;
    }
  }

  /** Ends the source. */
  async close(): Promise<void> {
    await this.source.return?.();
  }
}

const endsEarly = (): UnpackError => new UnpackError('ends early');

/** The most bytes of memory that a zstd frame may require: the default limit of the program zstd. */
const LARGEST_WINDOW = 2 ** 27;

const ZSTD = [0x28, 0xb5, 0x2f, 0xfd];
/** The magic number of a skippable frame, which holds no data. Its last four bits are arbitrary. */
const ZSTD_SKIPPABLE = 0x184d2a50;

/** Whether data is compressed with zstd, by its first four bytes. */
function isZstd(start: Uint8Array): boolean {
  if (start.length < 4) return false;
  return ZSTD.every((byte, index) => start[index] === byte) || isSkippable(Buffer.from(start).readUInt32LE(0));
}

const isSkippable = (magic: number): boolean => (magic & 0xfffffff0) >>> 0 === ZSTD_SKIPPABLE;

/**
 * The content of a stream that may be compressed with gzip or zstd, as its first bytes show: a part of a container image. Checksums of
 * zstd are not checked, because an image states digests.
 * @throws UnpackError, and what reading `source` throws
 */
export async function* decompressed(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = new ByteReader(source);
  const start = await reader.peek(MAGIC_SIZE);
  if (isZstd(start)) yield* unzstd(reader);
  else if (compressionOf(start) === 'gzip') yield* gunzipped(reader);
  else yield* reader.remaining();
}

/** Whether {@link decompressed} unpacks data that begins with these bytes. @param start four bytes, or all there are */
export const isGzipOrZstd = (start: Uint8Array): boolean => isZstd(start) || compressionOf(start) === 'gzip';

/** Only errors of zlib mean that the data is damaged. Others come from reading the stream. */
async function* gunzipped(reader: ByteReader): AsyncGenerator<Uint8Array> {
  try {
    yield* gunzip(reader.remaining());
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw code.startsWith('Z_') ? new UnpackError(`is damaged: ${message}`) : error;
  }
}

/**
 * Unpacks frame by frame, to check the window of each: the package accepts any window, and recurses for each further frame (RFC 8878,
 * 3.1). The checksum after a frame is not checked, because the caller checks a digest of the data.
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

/** A zstd frame after its magic number, in pieces: its header, each block, and its checksum. */
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
    throw new UnpackError(`needs ${window} bytes of memory, and the limit is ${LARGEST_WINDOW}`);
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

/** A little-endian number of 1, 2, 4 or 8 bytes. A number of 2 bytes starts at 256. */
function sizeOf(bytes: Buffer): number {
  if (bytes.length === 8) return Number(bytes.readBigUInt64LE(0));
  return bytes.readUIntLE(0, bytes.length) + (bytes.length === 2 ? 256 : 0);
}
