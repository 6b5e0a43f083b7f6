/** Compressed streams of container images, which come from strangers: memory stays bounded, whatever they say. */
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { ByteReader, isZstd, UnpackError, unzstd } from '../../resources/decompress';

type Chunks = AsyncIterable<Uint8Array>;

const GZIP = [0x1f, 0x8b];

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
  if (begins(GZIP)) return 'gzip';
  return isZstd(start) ? 'zstd' : undefined;
}

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
