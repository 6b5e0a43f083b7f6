import { dirname, isAbsolute, relative, resolve } from 'node:path';
import { normalizePath, type Tree } from 'nx/src/devkit-exports';
import { parse, type ParseError } from 'jsonc-parser';
import { IgvmError } from '../../errors/igvm-error';
import { JSON_SIZE_LIMIT, readRegularFile } from '../../files/regular-file';
import { RESOURCE_NAMES, type Resource, type ResourceName } from '../../manifest/model';
import { withProperty } from './json-text';
import { escapeGlob, inWorkspace } from './resource-option';

/** A manifest of igvmfilegen, made into one of ours. */
export interface AdoptedManifest {
  /** The manifest's text: what was there, untouched, and our keys. Integers keep all their digits. */
  text: string;
  resources: Partial<Record<ResourceName, Resource>>;
}

export interface AdoptOptions {
  /** The image's folder. */
  root: string;
  /** From the workspace root, or absolute. */
  manifest: string;
  resources: string | undefined;
  /** What `$schema` should say. */
  schema: string;
}

/**
 * Takes over a manifest with its resources file: `$schema` and `resources` are added to the text, and everything else
 * stays as it was written. Files inside the workspace are named from there, so that the project works in every clone.
 * @throws IgvmError GENERATOR_OPTION
 */
export function adoptManifest(tree: Tree, options: AdoptOptions): AdoptedManifest {
  let text = readText(tree, options.manifest, '--from');
  const manifest = parseObject(text, options.manifest);
  const resources = { ...(manifest['resources'] as object | undefined), ...adoptResources(tree, options) };
  text = withProperty(text, '$schema', options.schema, 'first');
  if (Object.keys(resources).length > 0) {
    text = withProperty(text, 'resources', resources, 'last');
  }
  return { text: text.endsWith('\n') ? text : `${text}\n`, resources };
}

function adoptResources(tree: Tree, { resources, root }: AdoptOptions): Partial<Record<ResourceName, string>> {
  if (resources === undefined) {
    return {};
  }
  const entries = parseObject(readText(tree, resources, '--resources'), resources)['resources'];
  if (typeof entries !== 'object' || entries === null) {
    throw new IgvmError('GENERATOR_OPTION', 'a resources file needs an object "resources"', { file: resources });
  }
  const adopted: Partial<Record<ResourceName, string>> = {};
  for (const [name, path] of Object.entries(entries)) {
    if (!RESOURCE_NAMES.includes(name as ResourceName) || typeof path !== 'string') {
      throw new IgvmError('GENERATOR_OPTION', `"${name}" is not a resource with a path`, {
        file: resources,
        jsonPath: ['resources', name],
      });
    }
    adopted[name as ResourceName] = adoptPath(tree, root, path, dirname(resolve(tree.root, resources)));
  }
  return adopted;
}

/** igvmfilegen wants absolute paths; a relative one was meant from where the file lies. */
function adoptPath(tree: Tree, root: string, path: string, base: string): string {
  const absolute = isAbsolute(path) ? path : resolve(base, path);
  const inside = normalizePath(relative(tree.root, absolute));
  const outside = inside.startsWith('../') || isAbsolute(inside);
  return outside ? escapeGlob(normalizePath(absolute)) : inWorkspace(root, inside);
}

function readText(tree: Tree, path: string, option: string): string {
  const inside = isAbsolute(path) || path.startsWith('..') ? null : tree.read(path, 'utf8');
  if (inside !== null) {
    return inside;
  }
  try {
    return readRegularFile(resolve(tree.root, path), { limit: JSON_SIZE_LIMIT }).toString();
  } catch {
    throw new IgvmError('GENERATOR_OPTION', `${option}: there is no file that can be read`, { file: path });
  }
}

function parseObject(text: string, file: string): Record<string, unknown> {
  const errors: ParseError[] = [];
  const value: unknown = parse(text, errors, { disallowComments: true });
  if (errors.length > 0 || typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new IgvmError('GENERATOR_OPTION', 'this is not a JSON object', { file });
  }
  return value as Record<string, unknown>;
}
