import { crc32, sha256Hex } from '../../src/files/hashes';
import type { IgvmFile } from '../../src/igvm/model';
import { readIgvm } from '../../src/igvm/read-igvm';
import { type IgvmSink, memorySink } from '../../src/igvm/file-data';
import type { DirectiveObserver } from '../../src/igvm/stream';
import { writeIgvm } from '../../src/igvm/write-igvm';
import { bytesSource } from '../../src/memory/byte-source';

/** Larger images are written, but not kept, because a few bytes can request many empty pages. */
const MOST_KEPT = 4 * 2 ** 20;

/** A sink that keeps small files and drops larger ones. */
export function forgetfulSink(): IgvmSink & { bytes(): Uint8Array | undefined } {
  const sink = memorySink();
  let isTooLarge = false;
  return {
    async write(offset, bytes) {
      isTooLarge ||= offset + bytes.length > MOST_KEPT;
      if (!isTooLarge) await sink.write(offset, bytes);
    },
    read(offset, target) {
      if (isTooLarge) target.fill(0);
      else sink.read(offset, target);
    },
    bytes: () => (isTooLarge ? undefined : sink.bytes()),
  };
}

/**
 * Writes an image and reads it back, which must succeed if writing did. Undefined if it is too large to keep.
 * @param observers also get the pages
 */
export async function writeAndRead(
  file: IgvmFile,
  observers: readonly DirectiveObserver[] = [],
): Promise<IgvmFile | undefined> {
  const sink = forgetfulSink();
  await writeIgvm(file, sink, { crc32, sha256Hex, observers });
  const bytes = sink.bytes();
  if (bytes === undefined) return undefined;
  try {
    return readIgvm(bytesSource(bytes), { crc32 });
  } catch (error) {
    throw new Error(`a written image can't be read: ${String(error)}`, { cause: error });
  }
}
