import { join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { createOutputSet } from '../files/atomic-output';
import { withImage } from '../files/igvm-image';
import { readAll } from '../memory/byte-source';
import { type Corim, CORIM_SIZE_LIMIT, type CorimFilter, corimFileName, corimsOf, corimText } from './corims';

/** What was found, and where it was written to. */
export interface CorimListing {
  /** For people. */
  text: string;
  corims: (Omit<Corim, 'content'> & { size: number; output?: string })[];
}

/**
 * Lists the CoRIMs of an image or firmware DLL, and writes them to `folder` when one is given.
 * @throws IgvmError MEASUREMENT_UNAVAILABLE, FILE_UNREADABLE, FILE_UNWRITABLE, IGVM_MALFORMED, …
 */
export async function extractCorims(
  image: { path: string; display: string },
  filter: CorimFilter,
  folder?: { path: string; display: string },
): Promise<CorimListing> {
  const outputs = createOutputSet();
  try {
    const listing = await withImage(image.path, async ({ file, source }) => {
      const corims = corimsOf(file, filter);
      const display = (corim: Corim): string => join(folder?.display ?? '', corimFileName(corim));
      if (folder !== undefined) {
        checkExtractable(corims, source.size);
        for (const corim of corims) {
          const output = outputs.add(join(folder.path, corimFileName(corim)));
          await output.writeAll(readAll(corim.content, CORIM_SIZE_LIMIT));
        }
      }
      return {
        text: corimText(file, { path: image.display, size: source.size }, corims, folder && display),
        corims: corims.map(({ content, ...corim }) => ({
          ...corim,
          size: content.size,
          ...(folder === undefined ? {} : { output: display({ ...corim, content }) }),
        })),
      };
    });
    await outputs.commit();
    return listing;
  } finally {
    await outputs.abort();
  }
}

/**
 * Headers may share contents, so that a small file could fill a disk; and two of one name would be one file.
 * @param fileSize bytes
 * @throws IgvmError IGVM_INVALID
 */
function checkExtractable(corims: readonly Corim[], fileSize: number): void {
  const names = new Set<string>();
  let size = 0;
  for (const corim of corims) {
    const { kind, compatibilityMask, content } = corim;
    if (compatibilityMask === 0) throw new IgvmError('IGVM_INVALID', `a CoRIM ${kind} is for no platform`);
    const name = corimFileName(corim);
    if (names.has(name)) throw new IgvmError('IGVM_INVALID', `two CoRIMs would be extracted to ${name}`);
    names.add(name);
    size += content.size;
    if (size > fileSize) throw new IgvmError('IGVM_INVALID', `its CoRIMs have more bytes than the file (${fileSize})`);
  }
}
