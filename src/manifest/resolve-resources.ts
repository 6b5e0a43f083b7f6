import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { type ErrorWhere, IgvmError } from '../errors/igvm-error';
import { shownPath } from '../files/shown-path';
import { matchGlob } from './glob';
import type { LoadedManifest } from './load-manifest';
import { RESOURCE_NAMES, type ResourceName } from './model';
import { type FileReference, parseResource } from './resource-reference';
import { loadResourcesFile, type ResourcesFile } from './resources-file';
import { type ResourceUse, usedResources } from './used-resources';
import type { ManifestWarning } from './validate';

/** A file that the build reads. */
export interface ResolvedResource {
  /** Absolute path of a file that exists. */
  readonly path: string;
  /** How messages name it. */
  readonly display: string;
  /** Where the manifest or the resources file names it. */
  readonly where: ErrorWhere;
  /** What it is pinned to: SHA-256 in hexadecimal. The build checks it, on the file that it builds from. */
  readonly sha256?: string;
}

export interface ResolveOptions {
  /** Absolute path. By default the nearest folder above the manifest that has an nx.json. */
  workspaceRoot?: string;
  /** A separate resources file, which then is the only place for resources; the manifest's own are left aside. */
  resourcesFile?: string;
  /** Its name in messages. */
  resourcesDisplay?: string;
  /** How messages name a file, by its absolute path. By default from the workspace on when it lies inside. */
  display?: (path: string) => string;
  strict?: boolean;
  /** Takes the warnings of the separate resources file. */
  warn?: (warning: ManifestWarning) => void;
}

/** The nearest folder at or above `folder` that has an nx.json. */
function findWorkspaceRoot(folder: string): string | undefined {
  if (existsSync(join(folder, 'nx.json'))) return folder;
  const parent = dirname(folder);
  return parent === folder ? undefined : findWorkspaceRoot(parent);
}

interface Folders {
  manifest: string;
  workspace: string | undefined;
  display: (path: string) => string;
}

function needWorkspace({ workspace }: Folders, where: ErrorWhere): string {
  if (workspace !== undefined) return workspace;
  throw new IgvmError('RESOURCE_PATH', 'this path needs an Nx workspace, and no folder above has an nx.json', where);
}

function baseFolder(reference: FileReference, folders: Folders, where: ErrorWhere): string {
  return reference.base === 'workspace' ? needWorkspace(folders, where) : folders.manifest;
}

function matchesOf(pattern: string, cwd: string, where: ErrorWhere): string[] {
  try {
    return matchGlob(pattern, cwd);
  } catch (error) {
    throw error instanceof IgvmError ? new IgvmError(error.code, error.message, where) : error;
  }
}

/** The one file that a pattern matches. */
function expandGlob(reference: FileReference, cwd: string, where: ErrorWhere): string {
  const matches = matchesOf(reference.path, cwd, where);
  const [match] = matches;
  if (match !== undefined && matches.length === 1) return match;
  const [token] = /^\{\w+\}/.exec(reference.path) ?? [];
  if (matches.length === 0 && token !== undefined) {
    const message = `a path begins with "{workspaceRoot}/" or is relative to the manifest, and "${token}" is not known`;
    throw new IgvmError('RESOURCE_PATH', message, where);
  }
  const names = matches.slice(0, 3).map((name) => basename(name));
  const message =
    matches.length === 0
      ? 'matches no file (a backslash takes the meaning from a special character)'
      : `matches ${matches.length} files (${names.join(', ')}${matches.length > names.length ? ', …' : ''}), expected exactly one`;
  throw new IgvmError('RESOURCE_PATH', `the pattern "${reference.path}" ${message}`, where);
}

function checkFile(path: string, display: string, where: ErrorWhere): void {
  let problem: string | undefined;
  try {
    const stats = statSync(path);
    if (!stats.isFile()) problem = stats.isDirectory() ? 'is a folder, and a file is wanted' : 'is not a file';
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    problem = code === 'ENOENT' || code === 'ENOTDIR' ? 'does not exist' : `cannot be read (${code})`;
  }
  if (problem !== undefined) throw new IgvmError('FILE_UNREADABLE', `${display} ${problem}`, where);
}

function resolveOne(resource: unknown, folders: Folders, where: ErrorWhere): ResolvedResource {
  const reference = parseResource(resource);
  if (reference === undefined) throw new IgvmError('RESOURCE_PATH', 'this is no form of a resource', where);
  let path: string;
  if (reference.kind === 'output') path = resolve(needWorkspace(folders, where), reference.path);
  else {
    const base = baseFolder(reference, folders, where);
    path = reference.glob ? expandGlob(reference, base, where) : resolve(base, reference.path);
  }
  const display = folders.display(path);
  checkFile(path, display, where);
  return { path, display, where, ...(reference.sha256 === undefined ? {} : { sha256: reference.sha256 }) };
}

function missingResources(uses: ReadonlyMap<ResourceName, ResourceUse>, given: object): ResourceName[] {
  return [...uses]
    .filter(([name, { need }]) => need === 'required' && !Object.hasOwn(given, name))
    .map(([name]) => name);
}

/** Where resources come from: the manifest's own block, or a separate file. */
function resourceTable(loaded: LoadedManifest, options: ResolveOptions) {
  if (options.resourcesFile === undefined) {
    const { resources } = loaded.manifest;
    const block = ['resources'];
    return {
      given: Object.fromEntries(
        RESOURCE_NAMES.flatMap((name) => (resources?.[name] === undefined ? [] : [[name, resources[name]]])),
      ),
      whereOf: (name: ResourceName) => loaded.positionOf([...block, name]),
      whereAll: () => loaded.positionOf(block),
      literal: false,
    };
  }
  const file: ResourcesFile = loadResourcesFile(options.resourcesFile, {
    strict: options.strict ?? false,
    display: options.resourcesDisplay ?? options.resourcesFile,
  });
  for (const warning of file.warnings) options.warn?.(warning);
  return {
    given: file.resources,
    whereOf: (name: ResourceName) => file.whereOf(name),
    whereAll: () => file.whereAll(),
    literal: true,
  };
}

/**
 * Finds the files of all resources that the images use, in the order of RESOURCE_NAMES. Each exists and is a regular file.
 * @throws IgvmError RESOURCE_MISSING, RESOURCE_PATH or FILE_UNREADABLE, with the place that names the resource.
 */
export function resolveResources(
  loaded: LoadedManifest,
  options: ResolveOptions = {},
): Map<ResourceName, ResolvedResource> {
  const manifestFolder = dirname(loaded.path);
  const workspace = options.workspaceRoot ?? findWorkspaceRoot(manifestFolder);
  const folders: Folders = {
    manifest: manifestFolder,
    workspace,
    display: options.display ?? ((path) => (workspace === undefined ? path : shownPath(workspace, path))),
  };
  const table = resourceTable(loaded, options);
  const uses = usedResources(loaded.manifest);
  const missing = missingResources(uses, table.given);
  if (missing.length > 0) {
    const names = missing.map((name) => `"${name}"`).join(', ');
    throw new IgvmError(
      'RESOURCE_MISSING',
      `the images need ${names}, which the resources do not name`,
      table.whereAll(),
    );
  }
  const resolved = new Map<ResourceName, ResolvedResource>();
  for (const name of uses.keys()) {
    const resource = (table.given as Record<string, unknown>)[name];
    if (resource === undefined) continue;
    const where = table.whereOf(name);
    resolved.set(
      name,
      table.literal ? literalFile(resource as string, folders, where) : resolveOne(resource, folders, where),
    );
  }
  return resolved;
}

function literalFile(path: string, folders: Folders, where: ErrorWhere): ResolvedResource {
  const display = folders.display(path);
  checkFile(path, display, where);
  return { path, display, where };
}
