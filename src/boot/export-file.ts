import { type Access, accessOfFiles } from '../files/access';
import { createOutputSet } from '../files/atomic-output';
import { checkNotInputs } from '../files/check-not-inputs';
import { withImage } from '../files/igvm-image';
import type { IgvmSink } from '../igvm/sink';
import { nativeGuest } from './native-guest';
import { exportGuest, type PvhExport, type PvhExportOptions } from './pvh-export';

/** Writes the file `path`, which appears when it is complete. @throws IgvmError FILE_UNWRITABLE */
export async function writingFile<T>(
  path: string,
  write: (begin: () => IgvmSink) => Promise<T>,
  access?: Access,
): Promise<T> {
  const outputs = createOutputSet();
  try {
    const result = await write(() => outputs.add(path, access));
    await outputs.commit();
    return result;
  } finally {
    await outputs.abort();
  }
}

/**
 * Exports an image on disk, or the one inside a firmware DLL: see {@link exportGuest}.
 * @throws IgvmError what reading the image throws, FILE_CHANGED included; FILE_UNWRITABLE also for the image's own path
 */
export async function exportImage(image: string, path: string, options: PvhExportOptions = {}): Promise<PvhExport> {
  checkNotInputs([path], [image]);
  const write = (begin: () => IgvmSink): Promise<PvhExport> =>
    withImage(image, ({ file }) => exportGuest(nativeGuest(file), begin(), options));
  return writingFile(path, write, accessOfFiles([image]));
}
