import { IgvmError } from '../errors/igvm-error';
import type { IgvmFile } from '../igvm/model';
import { measuredParts, measuredText, type OvmfParts, ovmfParts, ovmfRegionNames } from '../loader/ovmf/contents';
import { guestRegions } from '../regions/guest-regions';
import { mapBeside, type TaggedRange } from '../regions/image-map';

/**
 * What the regions of an image are called: as the map file beside it says, and without one as can be told of OVMF, whose files from
 * `wrap` and `update` have none. One list a guest, in the order of the platform headers.
 */
export const regionNames = (image: string, file: IgvmFile): TaggedRange[][] | undefined =>
  mapBeside(image) ?? ovmfNames(file);

/** What of an image of OVMF a launch measurement covers and what it doesn't; undefined for another image. */
export function ovmfMeasured(file: IgvmFile): string | undefined {
  return ofOvmf(file, (parts) => measuredText(measuredParts(file, parts)));
}

/** The names of all memory of the guests of OVMF; undefined for another image, and for one that can't be read: they are names, and no more. */
const ovmfNames = (file: IgvmFile): TaggedRange[][] | undefined =>
  ofOvmf(file, (parts) => {
    const names = ovmfRegionNames(parts);
    return file.platforms.map(({ compatibilityMask }) =>
      guestRegions(file, compatibilityMask, names).map(({ gpa, end, kind, tags }) => ({
        gpa,
        end,
        tag: tags[0] ?? (kind === 'vpContext' ? 'vp-context-page' : 'ovmf-memory'),
      })),
    );
  });

function ofOvmf<T>(file: IgvmFile, tell: (parts: OvmfParts) => T): T | undefined {
  try {
    const parts = ovmfParts(file);
    return parts && tell(parts);
  } catch (error) {
    if (error instanceof IgvmError) return undefined;
    throw error;
  }
}
