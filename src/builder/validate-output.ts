import { unreachable } from '../errors/igvm-error';
import { crc32, sha256Hex } from '../files/checksum';
import { readIgvm } from '../igvm/read-igvm';
import type { IgvmSink } from '../igvm/file-data';
import { writeIgvm } from '../igvm/write-igvm';
import type { ByteSource } from '../memory/byte-source';

/**
 * Reads an image back and writes it again, comparing instead of writing: reader and writer must agree on every byte.
 * @param size of the image in bytes
 * @throws IgvmError when our reader refuses the image; an Error, as that is a bug, when the second image differs
 */
export async function validateOutput(image: Pick<IgvmSink, 'read'>, size: number): Promise<void> {
  const source: ByteSource = { size, read: (offset, target) => image.read(offset, target) };
  const again = await writeIgvm(readIgvm(source, { crc32 }), comparing(image, size), { crc32, sha256Hex });
  if (again.fileSize !== size) unreachable(`an image of ${size} bytes has ${again.fileSize} when it is written again`);
}

/** A sink that holds a file already and accepts only that. */
const comparing = (image: Pick<IgvmSink, 'read'>, size: number): IgvmSink => ({
  async write(offset, bytes) {
    if (offset + bytes.length > size) unreachable(`an image of ${size} bytes grows when it is written again`);
    const expected = new Uint8Array(bytes.length);
    image.read(offset, expected);
    if (Buffer.compare(expected, bytes) !== 0) {
      unreachable(`an image differs at or behind offset ${offset} when it is written again`);
    }
  },
  read: (offset, target) => image.read(offset, target),
});
