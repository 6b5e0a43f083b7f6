import { IgvmError } from '../errors/igvm-error';
import type { IgvmSink } from '../igvm/file-data';
import { imageInDll, isPortableExecutable } from '../igvm/firmware-dll';
import type { IgvmFile } from '../igvm/model';
import { isLinuxKernel, readIgvm, type ReadOptions } from '../igvm/read-igvm';
import { writeIgvm, type WriteOptions, type WriteReport } from '../igvm/write-igvm';
import { type ByteSource, bytesSource } from '../memory/byte-source';
import { type Access, accessOfFiles } from './access';
import { createOutputSet } from './atomic-output';
import { crc32, sha256Hex } from './hashes';
import { type FileSource, openFileSource } from './file-source';

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
 * @param options.validate whether the format's rules are checked (see readIgvm); by default they are
 * @throws IgvmError FILE_UNREADABLE, FILE_CHANGED, IGVM_MALFORMED, IGVM_UNSUPPORTED, IGVM_INVALID with the file's path
 */
export async function withImage<T>(
  path: string,
  use: (image: OpenImage) => T | Promise<T>,
  { validate }: Pick<ReadOptions, 'validate'> = {},
): Promise<T> {
  const opened = openFileSource(path);
  try {
    const result = await use(imageIn(opened, validate));
    opened.checkUnchanged();
    return result;
  } catch (error) {
    throw error instanceof IgvmError ? error.at({ file: path }) : error;
  } finally {
    opened.close();
  }
}

function imageIn(bytes: ByteSource, validate?: boolean): OpenImage {
  // A kernel is an EFI program, too: readIgvm reports it as a kernel.
  if (!isPortableExecutable(bytes) || isLinuxKernel(bytes)) {
    return { source: bytes, file: readIgvm(bytes, { crc32, validate }), isFirmwareDll: false };
  }
  const { source, offset } = imageInDll(bytes);
  try {
    return { source, file: readIgvm(source, { crc32, validate }), isFirmwareDll: true };
  } catch (error) {
    throw error instanceof IgvmError ? error.within(offset) : error;
  }
}

/** Closes the files of images that are no longer referenced. */
const forgotten = new FinalizationRegistry<FileSource>((opened) => opened.close());

/**
 * Reads an image, or the one inside a firmware DLL.
 * @param image its path, or its bytes, which must not change. A file stays open until nothing refers to the result or
 *   to its pages any more: they are read when they are needed. {@link withImage} closes it at a known time.
 * @throws IgvmError FILE_UNREADABLE, IGVM_MALFORMED, IGVM_UNSUPPORTED, IGVM_INVALID with the file's path; FILE_CHANGED
 *   also when a page is read later
 */
export function readImage(image: string | Uint8Array): IgvmFile {
  if (typeof image !== 'string') return imageIn(bytesSource(image)).file;
  const opened = openFileSource(image);
  const pages: ByteSource = {
    size: opened.size,
    read(offset, target) {
      opened.read(offset, target);
      opened.checkUnchanged();
    },
  };
  try {
    const { file } = imageIn(pages);
    forgotten.register(pages, opened);
    return file;
  } catch (error) {
    opened.close();
    throw error instanceof IgvmError ? error.at({ file: image }) : error;
  }
}

/**
 * Writes an image to a file, which appears only when it is complete. Memory use doesn't depend on its size.
 * @param options.access the most access to allow
 * @throws IgvmError IGVM_INVALID, IGVM_TOO_LARGE, FILE_UNWRITABLE, and what the file's sources throw
 */
export const writeImage = (
  file: IgvmFile,
  output: string,
  { access, parameterOffsets }: { access?: Access } & Pick<WriteOptions, 'parameterOffsets'> = {},
): Promise<WriteReport> =>
  replacing(output, (begin) => writeIgvm(file, begin(), { crc32, sha256Hex, parameterOffsets }), access);

/**
 * Writes a changed copy of an image, which only those may read who may read the image. `output` may be the image itself: it is
 * replaced when the copy is complete.
 * @param change returns the new headers; it may measure the image, which reads it
 * @throws IgvmError as {@link withImage}, IGVM_IN_DLL, FILE_UNWRITABLE, and what `change` throws
 */
export async function rewriteImage(
  input: string,
  output: string,
  change: (file: IgvmFile) => IgvmFile | Promise<IgvmFile>,
): Promise<void> {
  const write = (begin: () => IgvmSink): Promise<void> =>
    withImage(input, async ({ file, isFirmwareDll }) => {
      if (isFirmwareDll) {
        throw new IgvmError('IGVM_IN_DLL', 'an image inside a firmware DLL can be read but not changed');
      }
      await writeIgvm(await change(file), begin(), { crc32, sha256Hex });
    });
  await replacing(output, write, accessOfFiles([input]));
}

/** Replaces a file with what `write` writes to the sink that `begin` returns, once that is complete. */
async function replacing<T>(output: string, write: (begin: () => IgvmSink) => Promise<T>, access?: Access): Promise<T> {
  const outputs = createOutputSet();
  try {
    const result = await write(() => outputs.add(output, access));
    await outputs.commit({ last: output });
    return result;
  } finally {
    await outputs.abort();
  }
}
