import { IgvmError } from '../errors/igvm-error';
import { imageInDll, isPortableExecutable } from '../igvm/firmware-dll';
import type { IgvmFile } from '../igvm/model';
import { readIgvm } from '../igvm/read-igvm';
import { writeIgvm } from '../igvm/write-igvm';
import type { ByteSource } from '../memory/byte-source';
import { createOutputSet } from './atomic-output';
import { crc32, sha256Hex } from './checksum';
import { openFileSource } from './file-source';

/** An IGVM image that is open for reading. */
export interface OpenImage {
  /** The image's bytes. */
  source: ByteSource;
  /** Its headers; page data is read from the file when it is needed. */
  file: IgvmFile;
  /** Whether the image is a resource of a firmware DLL. */
  isFirmwareDll: boolean;
}

/**
 * Opens an image, or the one inside a firmware DLL, for as long as `use` runs.
 * @throws IgvmError FILE_UNREADABLE, FILE_CHANGED, IGVM_MALFORMED, IGVM_UNSUPPORTED, IGVM_INVALID with the file's path
 */
export async function withImage<T>(path: string, use: (image: OpenImage) => T | Promise<T>): Promise<T> {
  const opened = openFileSource(path);
  try {
    const isFirmwareDll = isPortableExecutable(opened);
    const source = isFirmwareDll ? imageInDll(opened) : opened;
    const result = await use({ source, file: readIgvm(source, { crc32 }), isFirmwareDll });
    opened.checkUnchanged();
    return result;
  } catch (error) {
    throw error instanceof IgvmError ? error.at({ file: path }) : error;
  } finally {
    opened.close();
  }
}

/**
 * Writes a changed copy of an image. `output` may be the image itself: it is replaced when the copy is complete.
 * @param change gives the new headers; may measure, which reads the image
 * @throws IgvmError as {@link withImage}, FILE_UNWRITABLE, and what `change` throws
 */
export async function rewriteImage(
  input: string,
  output: string,
  change: (file: IgvmFile) => IgvmFile | Promise<IgvmFile>,
): Promise<void> {
  const outputs = createOutputSet();
  try {
    await withImage(input, async ({ file, isFirmwareDll }) => {
      if (isFirmwareDll) {
        throw new IgvmError('IGVM_UNSUPPORTED', 'an image inside a firmware DLL can be read, but not changed');
      }
      await writeIgvm(await change(file), outputs.add(output), { crc32, sha256Hex });
    });
    await outputs.commit({ last: output });
  } finally {
    await outputs.abort();
  }
}
