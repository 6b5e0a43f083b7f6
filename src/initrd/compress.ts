/**
 * Compression of an archive. The compressors are part of this package and run as JavaScript and WebAssembly, because the bytes from those
 * of Node or of the machine depend on their version, build and processor.
 */
import { unreachable } from '../errors/igvm-error';
import type { Compression } from './load-initrd';

/** Bytes to pass to a compressor at once. */
const BLOCK = 2 ** 20;

/** The levels of the programs gzip (`-9`) and zstd (the default). The bytes depend on them. */
const GZIP_LEVEL = 9;
const ZSTD_LEVEL = 3;

/** The offset of the operating system in a gzip header (RFC 1952, 2.3). */
const GZIP_OS_OFFSET = 9;
const GZIP_OS_UNKNOWN = 255;

/** Compresses an archive, to the same bytes on every machine and with every version of Node. */
export function compress(archive: Iterable<Uint8Array>, compression: Compression): AsyncIterable<Uint8Array> {
  switch (compression) {
    case 'none':
      return plain(archive);
    case 'gzip':
      return gzip(archive);
    case 'zstd':
      return zstd(archive);
  }
}

async function* plain(archive: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* archive;
}

/** Compresses to one member, because Linux doesn't read a second one. Its header has neither a time nor a system. */
async function* gzip(archive: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { Deflate } = await import('pako');
  const deflate = new Deflate({ level: GZIP_LEVEL, gzip: true });
  let ready: Uint8Array[] = [];
  let isFirst = true;
  deflate.onData = (chunk) => {
    if (isFirst) chunk[GZIP_OS_OFFSET] = GZIP_OS_UNKNOWN;
    isFirst = false;
    ready.push(chunk);
  };
  for (const block of blocks(archive)) {
    deflate.push(block, false);
    yield* ready;
    ready = [];
  }
  deflate.push(new Uint8Array(0), true);
  if (deflate.err !== 0) unreachable(`pako failed: ${deflate.msg}`);
  yield* ready;
}

/** The package has a single compressor, which only one caller can use at a time. */
let zstdIsFree: Promise<void> = Promise.resolve();

/** Compresses to one frame, because Linux doesn't read a second one. Without a checksum, as the launch digest covers all of it. */
async function* zstd(archive: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { Zstd } = await import('@hpcc-js/wasm-zstd');
  const compressor = await Zstd.load();
  const before = zstdIsFree;
  let release = (): void => undefined;
  zstdIsFree = new Promise((resolve) => (release = resolve));
  await before;
  try {
    compressor.reset();
    compressor.setCompressionLevel(ZSTD_LEVEL);
    for (const block of blocks(archive)) yield compressor.compressChunk(block);
    yield compressor.compressEnd();
  } finally {
    release();
  }
}

/** The same bytes in blocks of equal size, except for the last one: an archive has many small pieces. */
function* blocks(pieces: Iterable<Uint8Array>): Generator<Uint8Array> {
  let block = new Uint8Array(BLOCK);
  let filled = 0;
  for (const piece of pieces) {
    for (let done = 0; done < piece.length; ) {
      const part = piece.subarray(done, done + BLOCK - filled);
      block.set(part, filled);
      filled += part.length;
      done += part.length;
      if (filled < BLOCK) continue;
      yield block;
      block = new Uint8Array(BLOCK);
      filled = 0;
    }
  }
  if (filled > 0) yield block.subarray(0, filled);
}
