import { dirname, isAbsolute, relative, resolve } from 'node:path';
import { parse, type ParseError, parseTree } from 'jsonc-parser';
import { normalizePath, type Tree } from 'nx/src/devkit-exports';
import { IgvmError } from '../../errors/igvm-error';
import { JSON_SIZE_LIMIT, readRegularFile } from '../../files/regular-file';
import { type Resource, RESOURCE_NAMES, type ResourceName } from '../../manifest/model';
import { escapeGlob, inWorkspace } from './resource-option';

/** A manifest of igvmfilegen that was converted to one of ours. */
export interface AdoptedManifest {
  /** The manifest's text: the original, unchanged, with our keys added. Integers keep all their digits. */
  text: string;
  resources: Partial<Record<ResourceName, Resource>>;
}

export interface AdoptOptions {
  /** The image's folder. */
  root: string;
  /** Relative to the workspace's root, or absolute. */
  manifest: string;
  resources: string | undefined;
  /** The value of `$schema`. */
  schema: string;
}

/**
 * Adopts a manifest with its resources file. `$schema` and `resources` are added to the text, and everything else stays as written.
 * Files inside the workspace get relative paths, so that the project works in every clone.
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

/** igvmfilegen requires absolute paths. A relative one is assumed to be relative to the file. */
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
    throw new IgvmError('GENERATOR_OPTION', `${option}: the file cannot be read`, { file: path });
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

/**
 * The text of a JSON object with one top-level property set. All other characters stay the same: no integer loses digits, and no line
 * is reformatted.
 * @param place where a property goes that isn't there yet
 */
export function withProperty(text: string, key: string, value: unknown, place: 'first' | 'last'): string {
  const root = parseTree(text);
  if (root?.type !== 'object') {
    throw new Error('bug in nx-igvm: only the text of a JSON object can be edited');
  }
  const properties = root.children ?? [];
  const indent = indentOf(text);
  const lineBreak = `${text.includes('\r\n') ? '\r\n' : '\n'}${indent}`;
  const json = JSON.stringify(value, null, indent).replaceAll('\n', lineBreak);
  const existing = properties.find((property) => property.children?.[0]?.value === key)?.children?.[1];
  if (existing !== undefined) {
    return splice(text, existing.offset, existing.length, json);
  }
  const property = `${JSON.stringify(key)}: ${json}`;
  const first = properties[0];
  const last = properties.at(-1);
  if (first === undefined || last === undefined) {
    return splice(text, root.offset, root.length, `{${lineBreak}${property}${lineBreak.slice(0, -indent.length)}}`);
  }
  return place === 'first'
    ? splice(text, first.offset, 0, `${property},${lineBreak}`)
    : splice(text, last.offset + last.length, 0, `,${lineBreak}${property}`);
}

function splice(text: string, offset: number, length: number, replacement: string): string {
  return text.slice(0, offset) + replacement + text.slice(offset + length);
}

/** The indentation of the first indented line. */
function indentOf(text: string): string {
  return /^([ \t]+)\S/m.exec(text)?.[1] ?? '  ';
}
