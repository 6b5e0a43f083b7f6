/** Compressed data, recognised by its first bytes and unpacked as it comes. */
import { Readable, type Transform, pipeline } from 'node:stream';
import * as zlib from 'node:zlib';
import { IgvmError } from '../errors/igvm-error';
import { ByteReader, UnpackError } from './byte-reader';
import { unzstd as unzstdFrames } from './zstd';

/** A form of compressed data, and how to unpack it; without that it is only known by name. */
interface Format {
  magic: readonly number[];
  unpack?: (source: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;
  /** A program that unpacks it. */
  program: string;
}

const FORMATS = {
  gzip: { magic: [0x1f, 0x8b], unpack: gunzip, program: 'gzip -dc' },
  xz: { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], unpack: unxz, program: 'xz -dc' },
  zstd: { magic: [0x28, 0xb5, 0x2f, 0xfd], unpack: unzstd, program: 'zstd -dc' },
  lz4: { magic: [0x04, 0x22, 0x4d, 0x18], program: 'lz4 -dc' },
  // The form that the kernel's build writes.
  'lz4 (legacy)': { magic: [0x02, 0x21, 0x4c, 0x18], program: 'lz4 -dc' },
  bzip2: { magic: [0x42, 0x5a, 0x68], program: 'bzip2 -dc' },
  lzma: { magic: [0x5d, 0x00, 0x00], program: 'xz -dc --format=lzma' },
  lzo: { magic: [0x89, 0x4c, 0x5a, 0x4f, 0x00], program: 'lzop -dc' },
} as const satisfies Record<string, Format>;

export type Compression = keyof typeof FORMATS;

/** So many bytes tell what something is. */
export const MAGIC_SIZE = 6;

/** What data is compressed with, by its first {@link MAGIC_SIZE} bytes; undefined when nothing is known of it. */
export function compressionOf(start: Uint8Array): Compression | undefined {
  const known = Object.keys(FORMATS) as Compression[];
  return known.find((name) => FORMATS[name].magic.every((byte, index) => start[index] === byte));
}

/** Whether such data is unpacked here. */
export const isUnpacked = (compression: Compression): boolean => 'unpack' in FORMATS[compression];

/**
 * Unpacks data as it is read.
 * @param limit bytes; data that has more is given up
 * @throws UnpackError for what is damaged, needs too much memory, or has a form that nothing here reads
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
      if (size > limit) throw new UnpackError(`unpacks to more than ${limit} bytes, the most that are taken`);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof UnpackError || error instanceof IgvmError) throw error;
    throw new UnpackError(`cannot be unpacked as ${compression}: ${reasonOf(error)}`);
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function gunzip(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return through(source, zlib.createGunzip());
}

/** A stream of Node with its input; errors of either side end both. */
function through(source: AsyncIterable<Uint8Array>, stream: Transform): AsyncIterable<Uint8Array> {
  // Errors come out of the stream itself.
  pipeline(Readable.from(source, { objectMode: false }), stream, () => undefined);
  return stream;
}

/** What zlib has since Node 22.15. */
interface ZstdOfNode {
  createZstdDecompress?: () => Transform;
}

async function* unzstd(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { createZstdDecompress } = zlib as ZstdOfNode;
  if (createZstdDecompress !== undefined) {
    yield* through(source, createZstdDecompress());
    return;
  }
  yield* unzstdFrames(new ByteReader(source));
}

/** What the numbers of xz-embedded mean (xz.h, `enum xz_ret`). */
const XZ_REASONS: Readonly<Record<string, string>> = {
  4: 'its dictionary is larger than 64 MiB',
  6: 'it has a filter for machine code (BCJ), a SHA-256 of its own, or another option that is not supported',
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
