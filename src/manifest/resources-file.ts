import { type ErrorWhere, IgvmError } from '../errors/igvm-error';
import { parseJson, readJsonFile } from './json-document';
import type { ResourceName } from './model';
import type * as ResourcesSchema from './resources-schema';
import { type ManifestWarning, validate } from './validate';

/** igvmfilegen's separate resources file. */
export interface ResourcesFile {
  /** Absolute paths. */
  readonly resources: Partial<Record<ResourceName, string>>;
  readonly warnings: readonly ManifestWarning[];
  whereOf(name: ResourceName): ErrorWhere;
  whereAll(): ErrorWhere;
}

/** So many keys that come twice are named. */
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
 * Reads a separate resources file under igvmfilegen's rule: absolute paths as strings, taken literally; unknown names
 * are errors, other unknown keys are not; of several equal names the last counts.
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
      repeated.push({ message: `"${key}" is here a second time; the last one counts`, where });
    }
  }
  const { resourcesSchema } = require('./resources-schema') as typeof ResourcesSchema;
  const { value, warnings } = validate(document, resourcesSchema, strict);
  return {
    resources: value.resources,
    warnings: [...repeated, ...warnings],
    whereOf: (name) => document.where(['resources', name]),
    whereAll: () => document.where(['resources']),
  };
}
