import { existsSync } from 'node:fs';
import { IgvmError } from '../errors/igvm-error';
import { loadManifest } from '../manifest/load-manifest';
import { type Launch, launchesOf } from '../measurement/launches';

/** The manifest whose image a lock is of: the file beside it that inference made the lock's name from. */
const manifestOf = (lock: string): string | undefined =>
  lock.endsWith('.lock.json') ? `${lock.slice(0, -'.lock.json'.length)}.json` : undefined;

/**
 * The launches that count for an image: those that the manifest beside its lock names. Undefined when there is no such
 * manifest, or it names none; then the lock itself says which.
 * @param lock path of the lock
 * @param display how messages name a path
 * @throws IgvmError LAUNCH_INVALID with the place; and as loadManifest does, as a manifest that can't be read doesn't say that
 *   no launches count
 */
export function manifestLaunches(lock: string, display: (path: string) => string = String): Launch[] | undefined {
  const path = manifestOf(lock);
  if (path === undefined || !existsSync(path)) return undefined;
  const loaded = loadManifest(path, { display: display(path) });
  const { launches } = loaded.manifest;
  return launches?.flatMap(({ vmm, vcpus, cpu, kvm_mode: kvmMode }, index) => {
    try {
      return launchesOf({ vmm, vcpus, cpu, kvmMode });
    } catch (error) {
      throw error instanceof IgvmError ? error.at(loaded.positionOf(['launches', index])) : error;
    }
  });
}
