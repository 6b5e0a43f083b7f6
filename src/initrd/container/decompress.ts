/** Compressed streams of container images, which come from strangers: memory stays bounded, whatever they say. */
import { ByteReader, compressionOf, gunzip, isZstd, UnpackError, unzstd } from '../../resources/decompress';

type Chunks = AsyncIterable<Uint8Array>;

/**
 * The content of a stream that is compressed with gzip or zstd, told by its first bytes, or not at all. The compressor's own
 * checksum needn't be right: images have digests.
 * @throws UnpackError, and what reading `chunks` throws
 */
export async function* decompressed(chunks: Chunks): AsyncGenerator<Uint8Array> {
  const reader = new ByteReader(chunks);
  const kind = kindOf(await reader.peek(4));
  if (kind === 'gzip') yield* gunzipped(reader);
  else if (kind === 'zstd') yield* unzstd(reader);
  else yield* reader.remaining();
}

/** @param start four bytes, or all there are */
export const isCompressed = (start: Uint8Array): boolean => kindOf(start) !== undefined;

function kindOf(start: Uint8Array): 'gzip' | 'zstd' | undefined {
  if (isZstd(start)) return 'zstd';
  return compressionOf(start) === 'gzip' ? 'gzip' : undefined;
}

/** What zlib itself reports is damage; what reading the stream throws says so itself. */
async function* gunzipped(reader: ByteReader): AsyncGenerator<Uint8Array> {
  try {
    yield* gunzip(reader.remaining());
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw code.startsWith('Z_') ? new UnpackError(`is damaged: ${message}`) : error;
  }
}
