import { lstatSync, readFileSync } from 'node:fs';
import { withImage } from '../files/igvm-image';
import { type ImageDifference, diffImages } from './diff-images';
import { parseMap, type TaggedRange } from './map-tags';

/** Far more than a map file has: a line a region. */
const MAP_SIZE_LIMIT = 16 * 2 ** 20;

/**
 * Compares two images on disk. The map files beside them (`IMAGE.map`), where they are, name the regions of pages.
 * @throws IgvmError FILE_UNREADABLE, FILE_CHANGED, IGVM_MALFORMED, IGVM_UNSUPPORTED, IGVM_INVALID with the file's path
 */
export const diffFiles = (a: string, b: string): Promise<ImageDifference> =>
  withImage(a, (imageA) =>
    withImage(b, (imageB) => diffImages({ ...imageA, map: mapBeside(a) }, { ...imageB, map: mapBeside(b) })),
  );

/** The map only adds names: without one, or with one that can't be read, there are none. */
function mapBeside(image: string): TaggedRange[][] | undefined {
  const path = `${image}.map`;
  try {
    const stats = lstatSync(path);
    return stats.isFile() && stats.size <= MAP_SIZE_LIMIT ? parseMap(readFileSync(path, 'utf8')) : undefined;
  } catch {
    return undefined;
  }
}
