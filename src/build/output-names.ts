import { basename, dirname, extname, join } from 'node:path';
import type { MeasuredPlatform } from '../measurement/measured-platform';

/** Path of an image's map file. */
export const mapPath = (output: string): string => `${output}.map`;

/** Path of a file about one platform, beside the image. @param extension with its dot */
export function siblingPath(output: string, platform: MeasuredPlatform, extension: string): string {
  const name = basename(output);
  return join(dirname(output), `${name.slice(0, name.length - extname(name).length)}-${platform}${extension}`);
}
