import { basename, dirname, extname, join, resolve } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import type { MeasuredPlatform } from '../measurement/measured-platform';

/** Path of an image's map file. */
export const mapPath = (output: string): string => `${output}.map`;

/** Path of a file about one platform, beside the image. @param extension with its dot */
export function siblingPath(output: string, platform: MeasuredPlatform, extension: string): string {
  const name = basename(output);
  return join(dirname(output), `${name.slice(0, name.length - extname(name).length)}-${platform}${extension}`);
}

/**
 * Refuses to overwrite what the build reads.
 * @throws IgvmError FILE_UNWRITABLE
 */
export function checkNotInputs(outputs: readonly string[], inputs: readonly string[]): void {
  const read = new Set(inputs.map((path) => resolve(path)));
  const clash = outputs.find((path) => read.has(resolve(path)));
  if (clash !== undefined) {
    throw new IgvmError('FILE_UNWRITABLE', 'the output would replace a file that the build reads', { file: clash });
  }
}
