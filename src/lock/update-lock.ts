import { readFileSync } from 'node:fs';
import { mapBeside } from '../diff/map-beside';
import { createOutputSet } from '../files/atomic-output';
import { withImage } from '../files/igvm-image';
import { lockText, readLock } from './lock-file';
import { lockOfImage } from './lock-of-image';
import type { MeasurementLock } from './model';
import { staleSiblings } from './stale-siblings';
import { IgvmError } from '../errors/igvm-error';

/** What writing a lock came to. */
export interface LockUpdate {
  /** Whether the lock says something else now than before. */
  isChanged: boolean;
  /** What the lock says now. */
  lock: MeasurementLock;
  text: string;
}

/**
 * What the lock of an image has to be. A `$schema` that is in the present lock stays.
 * @param image path
 * @param schema `$schema` of a new lock
 * @param previous text of the lock as it is
 * @throws IgvmError SIBLINGS_STALE; MEASUREMENT_UNAVAILABLE for an image without launch measurement; and as withImage does
 */
export async function lockFor(
  image: string,
  display: string,
  previous: MeasurementLock | undefined,
  schema?: string,
): Promise<LockUpdate> {
  const lock = await withImage(image, async ({ file }) => {
    const map = mapBeside(image);
    const measured = await lockOfImage(file, map);
    const stale = staleSiblings(image, file, measured, map);
    // Their tags would go into the lock.
    if (stale.length > 0) throw new IgvmError('SIBLINGS_STALE', stale.join('; '), { file: display });
    return measured;
  });
  if (Object.keys(lock.platforms).length === 0) {
    throw new IgvmError('MEASUREMENT_UNAVAILABLE', 'no platform of the file has a launch measurement', {
      file: display,
    });
  }
  const $schema = previous?.$schema ?? schema;
  const whole = $schema === undefined ? lock : { $schema, ...lock };
  const text = lockText(whole);
  return { lock: whole, text, isChanged: previous === undefined || lockText(previous) !== text };
}

/** The lock as it is; undefined where there is none, or none that can be read: it is about to be replaced. */
export function previousLock(path: string): MeasurementLock | undefined {
  try {
    return readLock(path);
  } catch (error) {
    if (error instanceof IgvmError) return undefined;
    throw error;
  }
}

/** What a new lock says of its schema: what the manifest beside it does, if that names ours. */
export function schemaBeside(lock: string): string | undefined {
  try {
    const { $schema } = JSON.parse(readFileSync(lock.replace(/\.lock\.json$/, '.json'), 'utf8')) as {
      $schema?: unknown;
    };
    const [, folder] = (typeof $schema === 'string' && /^(.*)\bigvm\.schema\.json$/.exec($schema)) || [];
    return folder === undefined ? undefined : `${folder}igvm.lock.schema.json`;
  } catch {
    return undefined;
  }
}

/**
 * Writes the lock of an image. A lock that says the same already is left alone, however it is laid out.
 * @throws IgvmError as {@link lockFor}, FILE_UNWRITABLE
 */
export async function updateLock(image: string, path: string, display: string): Promise<LockUpdate> {
  const update = await lockFor(image, display, previousLock(path), schemaBeside(path));
  if (!update.isChanged) return update;
  const outputs = createOutputSet();
  try {
    await outputs.add(path).writeAll(Buffer.from(update.text));
    await outputs.commit();
  } finally {
    await outputs.abort();
  }
  return update;
}
