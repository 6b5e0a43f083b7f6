import { createOutputSet } from '../files/atomic-output';
import type { IgvmFile } from '../igvm/model';
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
