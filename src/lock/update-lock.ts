import { basename } from 'node:path';
import { fitsMap } from '../regions/guest-regions';
import { regionNames } from '../image/ovmf-facts';
import { checkNotInputs, createOutputSet } from '../files/atomic-output';
import { withImage } from '../files/igvm-image';
import { JSON_SIZE_LIMIT, readRegularFile } from '../files/regular-file';
import { compareLocks } from './compare-locks';
import { LOCK_SIZE_LIMIT, lockText, manifestLaunches, readLock } from './lock-file';
import type { Launch } from '../measurement/launches';
import { launchesInLock, lockImage } from './lock-of-image';
import type { MeasurementLock } from './lock-schema';
import { IgvmError } from '../errors/igvm-error';

/** The result of writing a lock. */
export interface LockUpdate {
  /** Whether the contents of the lock changed. */
  isChanged: boolean;
  /** The new contents of the lock. */
  lock: MeasurementLock;
  text: string;
}

/** Options for writing a lock. */
export interface UpdateOptions {
  /** Writes `"debug": true` for guests that the host may debug. Default: only if the present lock already has it. */
  allowDebug?: boolean;
  /**
   * The launches of SEV-SNP guests to cover. Default: those in the manifest beside the lock, or else those of the
   * present lock, or else the one that documents endorse.
   */
  launches?: readonly Launch[];
}

/**
 * The lock that matches an image. A `$schema` in the present lock is kept. A new lock gets a `$schema` if the manifest beside it has
 * one. A present lock that can't be parsed is ignored, because it is about to be replaced.
 * @param image path
 * @param path of the lock
 * @param display the image's name in messages
 * @throws IgvmError SIBLINGS_STALE; DEBUG_NOT_ALLOWED; PAGES_OVERLAP; MEASUREMENT_UNAVAILABLE for an image without launch measurement;
 *   MEASUREMENT_IMPOSSIBLE; FILE_UNWRITABLE, FILE_UNREADABLE or LOCK_INVALID when `path` is the image or another file that is not a
 *   lock; and as withImage
 */
async function lockFor(
  image: string,
  path: string,
  display: string,
  { allowDebug = false, launches = [] }: UpdateOptions,
): Promise<LockUpdate & { previous?: MeasurementLock }> {
  checkNotInputs([path], [image]);
  const previous = previousLock(path);
  const measured = await withImage(image, async ({ file }) => {
    const map = regionNames(image, file);
    const wanted = launches.length > 0 ? launches : (manifestLaunches(path) ?? (previous && launchesInLock(previous)));
    const counting = wanted === undefined || wanted.length === 0 ? undefined : wanted;
    const { lock, complaints, refusals } = await lockImage(file, { map, image, launches: counting });
    const [refusal] = refusals;
    if (refusal !== undefined) throw new IgvmError('MEASUREMENT_REFUSED', refusal, { file: display });
    if (map !== undefined && !fitsMap(file, map)) {
      // Otherwise the lock would get the tags of that map.
      complaints.unshift(`${basename(image)}.map does not match the layout of the image`);
    }
    if (complaints.length > 0) throw new IgvmError('SIBLINGS_STALE', complaints.join('; '), { file: display });
    return lock;
  });
  const platforms = Object.entries(measured.platforms);
  if (platforms.every(([, { digests }]) => digests === undefined)) {
    throw new IgvmError('MEASUREMENT_UNAVAILABLE', 'no platform of the file has a launch measurement', {
      file: display,
    });
  }
  const debuggable = platforms.filter(([name, { debug }]) => debug && previous?.platforms[name]?.debug !== true);
  if (debuggable.length > 0 && !allowDebug) {
    const names = debuggable.map(([name]) => name).join(', ');
    throw new IgvmError(
      'DEBUG_NOT_ALLOWED',
      `the host may debug guests of this image (${names}), but the lock doesn't allow it`,
      {
        file: display,
      },
    );
  }
  const $schema = previous?.$schema ?? schemaBeside(path);
  const lock = $schema === undefined ? measured : { $schema, ...measured };
  const text = lockText(lock);
  return { previous, lock, text, isChanged: previous === undefined || lockText(previous) !== text };
}

function previousLock(path: string): MeasurementLock | undefined {
  try {
    return readLock(path);
  } catch (error) {
    if (!(error instanceof IgvmError) || error.code === 'FILE_UNREADABLE') throw error;
    if (error.code === 'LOCK_MISSING') return undefined;
    if (isMeantAsLock(path)) return undefined;
    throw new IgvmError('LOCK_INVALID', 'is not a measurement lock, so it is not overwritten', { file: path });
  }
}

/** Whether a file may be replaced. A lock with merge conflict markers or of another version may; a manifest or an image may not. */
const isMeantAsLock = (path: string): boolean =>
  /\.lock\.json$/i.test(path) || readRegularFile(path, { limit: LOCK_SIZE_LIMIT }).includes('"lockVersion"');

/** The `$schema` of a new lock. */
function schemaBeside(lock: string): string | undefined {
  try {
    const { $schema } = JSON.parse(
      readRegularFile(lock.replace(/\.lock\.json$/, '.json'), { limit: JSON_SIZE_LIMIT }).toString(),
    ) as {
      $schema?: unknown;
    };
    const [, folder] = (typeof $schema === 'string' && /^(.*)\bigvm\.schema\.json$/.exec($schema)) || [];
    return folder === undefined ? undefined : `${folder}igvm.lock.schema.json`;
  } catch {
    return undefined;
  }
}

/**
 * The new text for the lock of an image; undefined when the lock matches the image already.
 * @throws IgvmError as {@link updateLock}, but FILE_UNWRITABLE
 */
export async function changedLock(image: string, path: string, display: string): Promise<string | undefined> {
  const { previous, lock, text } = await lockFor(image, path, display, {});
  return previous !== undefined && compareLocks(previous, lock).length === 0 ? undefined : text;
}

/**
 * Writes the lock of an image. A lock with the same contents is left unchanged, regardless of its formatting.
 * @param image path
 * @param path of the lock
 * @param display the image's name in messages
 * @throws IgvmError SIBLINGS_STALE; DEBUG_NOT_ALLOWED for a guest that the host may debug, unless that is allowed or the present lock
 *   says `"debug": true`; PAGES_OVERLAP; MEASUREMENT_UNAVAILABLE for an image without launch measurement; MEASUREMENT_IMPOSSIBLE;
 *   FILE_UNWRITABLE; LOCK_INVALID or FILE_UNREADABLE for a file in its place that is not a lock; and as withImage
 */
export async function updateLock(
  image: string,
  path: string,
  display: string,
  options: UpdateOptions = {},
): Promise<LockUpdate> {
  const { lock, text, isChanged } = await lockFor(image, path, display, options);
  if (!isChanged) return { lock, text, isChanged };
  const outputs = createOutputSet();
  try {
    await outputs.add(path).writeAll(Buffer.from(text));
    await outputs.commit();
  } finally {
    await outputs.abort();
  }
  return { lock, text, isChanged };
}
