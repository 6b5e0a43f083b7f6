import { withImage } from '../files/igvm-image';
import { measurablePlatforms, measure, type Measurement, type MeasureOptions } from './measure';

/**
 * The launch measurements of an image on disk, or of the image in a firmware DLL; none for an image without a platform
 * that has a launch measurement.
 * @throws IgvmError as `measure`, but MEASUREMENT_UNAVAILABLE only for a platform that is asked for; FILE_UNREADABLE, FILE_CHANGED,
 *   IGVM_MALFORMED, IGVM_UNSUPPORTED, IGVM_INVALID with the file's path
 */
export const measureFile = (path: string, options: MeasureOptions = {}): Promise<Measurement[]> =>
  withImage(path, async ({ file }) =>
    options.platforms === undefined && measurablePlatforms(file).length === 0 ? [] : measure(file, options),
  );
