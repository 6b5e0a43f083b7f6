import { withImage } from '../files/igvm-image';
import { measure, measureLaunches, type Measurement, type MeasurementReport, type MeasureOptions } from './measure';

/**
 * The launch measurements of an image on disk, or of the image in a firmware DLL; none for an image without a platform
 * that has a launch measurement.
 * @throws IgvmError as `measure`; FILE_UNREADABLE, FILE_CHANGED, IGVM_MALFORMED, IGVM_UNSUPPORTED, IGVM_INVALID with the
 *   file's path
 */
export const measureFile = (path: string, options: MeasureOptions = {}): Promise<Measurement[]> =>
  withImage(path, ({ file }) => measure(file, options));

/**
 * As {@link measureFile}, with the launches that VMMs refuse beside those that have a digest.
 * @throws IgvmError as `measureLaunches` and {@link measureFile}
 */
export const measureFileLaunches = (path: string, options: MeasureOptions = {}): Promise<MeasurementReport> =>
  withImage(path, ({ file }) => measureLaunches(file, options));
