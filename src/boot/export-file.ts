import { IgvmError } from '../errors/igvm-error';
import { createOutputSet } from '../files/atomic-output';
import { checkNotInputs } from '../files/check-not-inputs';
import { crc32 } from '../files/checksum';
import { openFileSource } from '../files/file-source';
import type { IgvmFile } from '../igvm/model';
import { readIgvm } from '../igvm/read-igvm';
import { exportPvh, type PvhExport, type PvhExportOptions } from './pvh-export';

/**
 * {@link exportPvh} to the file `path`, which appears when it is complete.
 * @throws IgvmError FILE_UNWRITABLE, and what exportPvh throws
 */
export async function exportPvhFile(image: IgvmFile, path: string, options: PvhExportOptions): Promise<PvhExport> {
  const outputs = createOutputSet();
  try {
    const result = await exportPvh(image, outputs.add(path), options);
    await outputs.commit();
    return result;
  } catch (error) {
    await outputs.abort();
    throw error;
  }
}

/**
 * {@link exportPvhFile} of an image on disk.
 * @param options.label what messages call the image
 * @throws IgvmError what reading the image throws, too; FILE_UNWRITABLE also for the image's own path
 */
export async function exportImage(
  image: string,
  path: string,
  { label = image, ...options }: PvhExportOptions & { label?: string } = {},
): Promise<PvhExport> {
  checkNotInputs([path], [image]);
  const source = openFileSource(image);
  try {
    return await exportPvhFile(readIgvm(source, { crc32 }), path, options);
  } catch (error) {
    throw error instanceof IgvmError ? error.at({ file: label }) : error;
  } finally {
    source.close();
  }
}
