import { resolve } from 'node:path';
import { type ErrorWhere, IgvmError, type JsonPath } from '../errors/igvm-error';
import { checkManifest } from './check-manifest';
import { type JsonDocument, parseJson, readJsonFile } from './json-document';
import type * as ManifestSchema from './manifest-schema';
import type { GuestConfig, Manifest, ResourceName } from './model';
import type * as ResourcesSchema from './resources-schema';
import { unknownKeys } from './unknown-keys';
import { combined, examine, type ManifestWarning, validate } from './validate';

/** Values that a build changes in the manifest. The first two are also flags of igvmfilegen. */
export interface ManifestOverrides {
  /** Turns Secure AVIC off in every SNP guest. */
  disableSecureAvic?: boolean;
  /** Appends `OPENHCL_CONFIDENTIAL_DEBUG=1` to every OpenHCL command line. */
  confidentialDebug?: boolean;
  /** Replaces the manifest's `embed_corim`. */
  embedCorim?: boolean;
}

const CONFIDENTIAL_DEBUG = 'OPENHCL_CONFIDENTIAL_DEBUG=1';

function overrideGuest(guest: GuestConfig, overrides: ManifestOverrides): GuestConfig {
  const changed = { ...guest };
  if (
    overrides.disableSecureAvic === true &&
    typeof guest.isolation_type !== 'string' &&
    'snp' in guest.isolation_type
  ) {
    changed.isolation_type = { snp: { ...guest.isolation_type.snp, secure_avic: 'disabled' } };
  }
  if (overrides.confidentialDebug === true && typeof guest.image !== 'string' && 'openhcl' in guest.image) {
    const { command_line: commandLine } = guest.image.openhcl;
    const words = commandLine === '' ? [CONFIDENTIAL_DEBUG] : [commandLine, CONFIDENTIAL_DEBUG];
    changed.image = { openhcl: { ...guest.image.openhcl, command_line: words.join(' ') } };
  }
  return changed;
}

/** The manifest with a build's overrides applied. Source: openvmm igvmfilegen main.rs, command `manifest`. */
export function applyOverrides(manifest: Manifest, overrides: ManifestOverrides): Manifest {
  return {
    ...manifest,
    embed_corim: overrides.embedCorim ?? manifest.embed_corim,
    guest_configs: manifest.guest_configs.map((guest) => overrideGuest(guest, overrides)),
  };
}

export interface LoadOptions extends ManifestOverrides {
  /** Whether unknown keys are errors. */
  strict?: boolean;
  /** The file's name in messages; by default the path as given. */
  display?: string;
  /** An absolute folder: a manifest inside it that leads out of it through links is refused. */
  within?: string;
  /** Receives conflicts between values, for a caller that has further checks. By default they are thrown. */
  conflicts?: IgvmError[];
}

/** A valid manifest, with the places of its values. */
export interface LoadedManifest {
  /** Absolute path of the file. */
  readonly path: string;
  /** With the overrides applied. */
  readonly manifest: Manifest;
  readonly warnings: readonly ManifestWarning[];
  /** File, line and column of a path such as `['guest_configs', 0, 'image']`, for errors that are found later. */
  positionOf(jsonPath: JsonPath): ErrorWhere;
}

/**
 * Reads a manifest from a file.
 * @throws IgvmError FILE_UNREADABLE, and everything that {@link parseManifest} throws.
 */
export function loadManifest(path: string, options: LoadOptions = {}): LoadedManifest {
  const display = options.display ?? path;
  return {
    ...parseManifest(readJsonFile(path, display, { within: options.within }), display, options),
    path: resolve(path),
  };
}

/**
 * Parses a manifest from text or bytes. `file` is its name in messages, and the path that relative resources are relative to.
 * @throws IgvmError MANIFEST_SYNTAX, MANIFEST_DUPLICATE_KEY, MANIFEST_INVALID, MANIFEST_UNKNOWN_KEY or
 * MANIFEST_CONFLICT with file, line, column and JSON path; further mistakes are in its `also`.
 */
export function parseManifest(content: string | Uint8Array, file: string, options: LoadOptions = {}): LoadedManifest {
  const document = parseJson(content, file);
  // The schema loads zod, which is slow: so it is loaded only where something is validated.
  const { manifestSchema } = require('./manifest-schema') as typeof ManifestSchema;
  const keys = unknownKeys(manifestSchema, document.value);
  const { value, errors, warnings, misspelt } = examine(document, manifestSchema, options.strict ?? false, keys);
  const duplicates = duplicateErrors(document, keys.unknown);
  if (value === undefined) throw combined([...duplicates, ...errors, ...misspelt]);
  const manifest = applyOverrides(value, options);
  const conflicts = checkManifest(manifest, document);
  const mistakes = duplicates.length + conflicts.length === 0 ? [] : [...duplicates, ...conflicts, ...misspelt];
  if (options.conflicts !== undefined) options.conflicts.push(...mistakes);
  else if (mistakes.length > 0) throw combined(mistakes);
  return {
    path: resolve(file),
    manifest,
    warnings,
    positionOf: (path) => document.where(path),
  };
}

/** Ignored keys may occur twice, as in igvmfilegen: there are warnings about them anyway. */
function duplicateErrors(document: JsonDocument, ignored: readonly JsonPath[]): IgvmError[] {
  const duplicate = document.duplicateOutside(ignored);
  if (duplicate === undefined) return [];
  const message = `duplicate key "${String(duplicate.path.at(-1))}"`;
  return [new IgvmError('MANIFEST_DUPLICATE_KEY', message, duplicate.where)];
}

/** igvmfilegen's separate resources file. */
export interface ResourcesFile {
  /** Absolute paths. */
  readonly resources: Partial<Record<ResourceName, string>>;
  readonly warnings: readonly ManifestWarning[];
  whereOf(name: ResourceName): ErrorWhere;
  whereAll(): ErrorWhere;
}

/** The most warnings about keys that occur twice. */
const REPEATED_SHOWN = 20;

/**
 * Reads a separate resources file, see {@link parseResourcesFile}.
 * @throws IgvmError FILE_UNREADABLE, and everything that parseResourcesFile throws
 */
export const loadResourcesFile = (
  path: string,
  { strict = false, display = path }: { strict?: boolean; display?: string } = {},
): ResourcesFile => parseResourcesFile(readJsonFile(path, display), display, strict);

/**
 * Parses a separate resources file under igvmfilegen's rules: paths are absolute strings, taken literally. Unknown names are errors,
 * other unknown keys are not. If a name occurs several times, the last one counts.
 * @param display the file's name in messages
 * @throws IgvmError MANIFEST_SYNTAX, MANIFEST_DUPLICATE_KEY, MANIFEST_INVALID, MANIFEST_UNKNOWN_KEY
 */
export function parseResourcesFile(content: Uint8Array, display: string, strict = false): ResourcesFile {
  const document = parseJson(content, display);
  const repeated: ManifestWarning[] = [];
  for (const { path: place, where } of document.duplicates) {
    const key = String(place.at(-1));
    const isTable = place.length === 1 && key === 'resources';
    if (isTable || strict) throw new IgvmError('MANIFEST_DUPLICATE_KEY', `duplicate key "${key}"`, where);
    if (repeated.length < REPEATED_SHOWN) {
      repeated.push({ message: `"${key}" occurs again; the last one counts`, where });
    }
  }
  const { resourcesFileSchema } = require('./resources-schema') as typeof ResourcesSchema;
  const { value, warnings } = validate(document, resourcesFileSchema(), strict);
  return {
    resources: value.resources,
    warnings: [...repeated, ...warnings],
    whereOf: (name) => document.where(['resources', name]),
    whereAll: () => document.where(['resources']),
  };
}
