import { JSON_SIZE_LIMIT, readRegularFile } from '../files/regular-file';
import { RESOURCE_NAMES, type ResourceName } from '../manifest/model';
import { usedResources } from '../manifest/used-resources';
import { asRecord, readJsonObject } from './read-json';

/** A manifest as inference reads it: JSON, but not validated, as a wrong manifest shall still have its targets. */
export interface ImageManifest {
  /** Relative to the workspace, with `/`. */
  readonly path: string;
  readonly name?: string;
  readonly guest_arch?: unknown;
  readonly guest_configs?: unknown;
  /** What its boot test waits for, and for how long. */
  readonly boot_test?: unknown;
  readonly resources: Partial<Record<ResourceName, unknown>>;
}

/**
 * Reads a manifest.
 * @throws IgvmError FILE_UNREADABLE or MANIFEST_SYNTAX
 */
export function readImageManifest(workspaceRoot: string, path: string): ImageManifest {
  const json = readJsonObject(workspaceRoot, path);
  const { name, guest_arch: arch, guest_configs: guests, boot_test: bootTest, resources } = json;
  return {
    path,
    ...(typeof name === 'string' && name !== '' ? { name } : {}),
    guest_arch: arch,
    guest_configs: guests,
    boot_test: bootTest,
    resources: asRecord(resources),
  };
}

/** The resources of a separate resources file; none when it can't be read, which the build reports. */
export function readSeparateResources(path: string): Partial<Record<ResourceName, unknown>> {
  try {
    return asRecord(asRecord(JSON.parse(readRegularFile(path, { limit: JSON_SIZE_LIMIT }).toString()))['resources']);
  } catch {
    return {};
  }
}

/** What a manifest's images use of the given resources. */
export function usedOf(manifest: ImageManifest, resources: Partial<Record<ResourceName, unknown>>): unknown[] {
  const uses = usedResources(manifest);
  return RESOURCE_NAMES.flatMap((name) => (uses.has(name) && Object.hasOwn(resources, name) ? [resources[name]] : []));
}
