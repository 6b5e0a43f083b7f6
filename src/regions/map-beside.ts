import { lstatSync } from 'node:fs';
import { readRegularFile } from '../files/regular-file';
import { parseMap, type TaggedRange } from './map-tags';

/** Far more than a map file has: a line a region. */
const MAP_SIZE_LIMIT = 16 * 2 ** 20;

/** What the map file beside an image names. It only adds names: without one, or with one that can't be read, there are none. */
export function mapBeside(image: string): TaggedRange[][] | undefined {
  const path = `${image}.map`;
  try {
    if (!lstatSync(path).isFile()) return undefined;
    return parseMap(readRegularFile(path, { limit: MAP_SIZE_LIMIT }).toString());
  } catch {
    return undefined;
  }
}
