import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type * as JsonDocument from '../manifest/json-document';
import type * as LoadManifest from '../manifest/load-manifest';
import { RESOURCE_NAMES, type ResourceName } from '../manifest/model';
import { usedResources } from '../manifest/used-resources';

/** A manifest as inference reads it: JSON, but not validated, as a wrong manifest shall still have its targets. */
export interface ImageManifest {
  /** Relative to the workspace, with `/`. */
  readonly path: string;
  readonly name?: string;
  readonly guest_configs?: unknown;
  readonly resources: Partial<Record<ResourceName, unknown>>;
}

const asRecord = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};

/**
 * Reads a manifest.
 * @throws IgvmError FILE_UNREADABLE or MANIFEST_SYNTAX, the only failures of inference
 */
export function readImageManifest(workspaceRoot: string, path: string): ImageManifest {
  const content = readJson(join(workspaceRoot, path), path);
  const { name, guest_configs: guests, resources } = asRecord(content);
  return {
    path,
    ...(typeof name === 'string' && name !== '' ? { name } : {}),
    guest_configs: guests,
    resources: asRecord(resources),
  };
}

function readJson(path: string, display: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    // The slower reader says what is wrong, and where.
    const { parseJson } = require('../manifest/json-document') as typeof JsonDocument;
    const { readJsonFile } = require('../manifest/load-manifest') as typeof LoadManifest;
    return parseJson(readJsonFile(path, display), display).value;
  }
}

/** The resources of a separate resources file; none when it can't be read, which the build reports. */
export function readSeparateResources(path: string): Partial<Record<ResourceName, unknown>> {
  try {
    return asRecord(asRecord(JSON.parse(readFileSync(path, 'utf8')))['resources']);
  } catch {
    return {};
  }
}

/** What a manifest's images use of the given resources. */
export function usedOf(manifest: ImageManifest, resources: Partial<Record<ResourceName, unknown>>): unknown[] {
  const uses = usedResources(manifest);
  return RESOURCE_NAMES.flatMap((name) => (uses.has(name) && Object.hasOwn(resources, name) ? [resources[name]] : []));
}
