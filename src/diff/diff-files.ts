import { withImage } from '../files/igvm-image';
import { type ImageDifference, diffImages } from './diff-images';
import type { Launch } from '../measurement/launches';
import { mapBeside } from '../regions/map-beside';

/**
 * Compares two images on disk. The map files beside them (`IMAGE.map`), where they are, name the regions of pages.
 * @param launches of SEV-SNP guests whose digests are compared, besides the one that documents endorse
 * @throws IgvmError FILE_UNREADABLE, FILE_CHANGED, IGVM_MALFORMED, IGVM_UNSUPPORTED, IGVM_INVALID with the file's path
 */
export const diffFiles = (a: string, b: string, launches: readonly Launch[] = []): Promise<ImageDifference> =>
  withImage(a, (imageA) =>
    withImage(b, (imageB) => diffImages({ ...imageA, map: mapBeside(a) }, { ...imageB, map: mapBeside(b) }, launches)),
  );
