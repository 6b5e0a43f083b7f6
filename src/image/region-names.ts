import { IgvmError } from '../errors/igvm-error';
import type { IgvmFile } from '../igvm/model';
import { measuredParts, measuredText, type OvmfParts, ovmfParts, ovmfRegionNames } from '../loader/ovmf/contents';
import { guestRegions } from '../regions/guest-regions';
import { mapBeside, type TaggedRange } from '../regions/image-map';

/**
 * The names of an image's regions, from the map file beside it. Images of OVMF from `wrap` and `update` have no map; their names follow
 * from the content. One list for each guest, in the order of the platform headers.
 */
export const regionNames = (image: string, file: IgvmFile): TaggedRange[][] | undefined =>
  mapBeside(image) ?? ovmfNames(file);

/** Which parts of an OVMF image a launch measurement covers, and which not; undefined for any other image. */
export function ovmfMeasured(file: IgvmFile): string | undefined {
  return ofOvmf(file, (parts) => measuredText(measuredParts(file, parts)));
}

/** The names of all memory of OVMF guests; undefined for any other image, and for one that can't be parsed, because names are optional. */
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
