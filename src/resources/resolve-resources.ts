import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { type ErrorWhere, IgvmError } from '../errors/igvm-error';
import { errnoOf, shownPath } from '../files/file-failure';
import { isInside, leadsOut } from '../files/regular-file';
import { checkWithResources } from '../manifest/check-manifest';
import { type LoadedManifest, loadResourcesFile, type ResourcesFile } from '../manifest/load-manifest';
import { RESOURCE_NAMES, type ResourceName } from '../manifest/model';
import { nearest } from '../manifest/unknown-keys';
import { type ResourceUse, usedResources } from '../manifest/image-files';
import { combined, type ManifestWarning } from '../manifest/validate';
import type { DownloadOptions } from './downloads';
import { matchGlob } from './glob';
import { type FileReference, parseResource, shownReference, type UrlReference } from './resource-reference';

/** A file that the build reads. */
export interface ResolvedResource {
  /** Absolute path of a file that exists. */
  readonly path: string;
  /** How messages name it. */
  readonly display: string;
  /** The place in the manifest or the resources file that names it. */
  readonly where: ErrorWhere;
  /**
   * Set if the file is outside the workspace: either the manifest says so, or a link leads out, which a reader of the manifest
   * can't see.
   */
  readonly outside?: 'written' | 'linked';
  /** The pinned SHA-256 in hexadecimal. The build checks it while it reads the file. */
  readonly sha256?: string;
  /** Set if it was downloaded: then the file is in the download folder. */
  readonly isDownload?: true;
}

/** A resource that has to be downloaded before it can be read. */
export interface RemoteResource {
  readonly remote: UrlReference;
  readonly display: string;
  readonly where: ErrorWhere;
}

/** A resource as it is known without using the network. */
export type LocatedResource = ResolvedResource | RemoteResource;

export interface ResolveOptions {
  /** Absolute path. By default the nearest folder above the manifest that has an nx.json. */
  workspaceRoot?: string;
  /** A separate resources file. It replaces the resources of the manifest. */
  resourcesFile?: string;
  /** Its name in messages. */
  resourcesDisplay?: string;
  /** Makes the name of a file for messages from its absolute path. By default, relative to the workspace if it lies inside. */
  display?: (path: string) => string;
  strict?: boolean;
  /** Receives the warnings of the separate resources file. */
  warn?: (warning: ManifestWarning) => void;
  /** Options for resources with a URL. */
  downloads?: DownloadOptions;
}

/** The nearest folder at or above `folder` that has an nx.json. */
export function findWorkspaceRoot(folder: string): string | undefined {
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
    throw error instanceof IgvmError ? new IgvmError(error.code, error.message, where, { saysAll: true }) : error;
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
    throw new IgvmError('RESOURCE_PATH', message, where, { saysAll: true });
  }
  const names = matches.slice(0, 3).map((name) => basename(name));
  const path = resolve(cwd, reference.path);
  const near = matches.length === 0 ? nearNames(path) : undefined;
  const message =
    matches.length === 0
      ? `matches no file${near ?? someNames(dirname(path)) ?? ' (escape special characters with a backslash)'}`
      : `matches ${matches.length} files (${names.join(', ')}${matches.length > names.length ? ', …' : ''}), expected exactly one`;
  throw new IgvmError('RESOURCE_PATH', `the pattern "${reference.path}" ${message}`, where, {
    saysAll: near !== undefined,
  });
}

/** The most names of a folder to compare with a missing one. */
const COMPARED = 2000;

/**
 * Names that may have been meant by one that isn't in its folder: names with the same beginning, or with a letter or two that differ. For
 * a pattern, the text before its first special character is compared.
 */
export function nearNames(path: string): string | undefined {
  const [start = ''] = /^[^*?[{\\]*/.exec(basename(path)) ?? [];
  let names: string[];
  try {
    names = readdirSync(dirname(path)).slice(0, COMPARED).sort();
  } catch {
    return undefined;
  }
  // `vmlinuz-6.1.0-44-amd64` and `vmlinuz-6.1.0-50-amd64` have the same first word.
  const [word = ''] = /^[\p{L}\p{M}_]{4,}/u.exec(start) ?? [];
  const guess = nearest(basename(path), names);
  const alike = word === '' ? [] : names.filter((name) => name.startsWith(word));
  const near = [...new Set([...(guess === undefined ? [] : [guess]), ...alike])];
  if (near.length === 0) return undefined;
  const shown = near.slice(0, 3).map((name) => `"${name}"`);
  return `; that folder has ${shown.join(', ')}${near.length > shown.length ? ', …' : ''}`;
}

/** The first names of a folder. If the folder of a pattern is itself a pattern, there are none. */
function someNames(folder: string): string | undefined {
  try {
    const names = readdirSync(folder).sort();
    if (names.length === 0) return '; that folder is empty';
    const shown = names.slice(0, 3).map((name) => `"${name}"`);
    return `; that folder has ${shown.join(', ')}${names.length > shown.length ? ', …' : ''}`;
  } catch {
    return undefined;
  }
}

/** The hint about text that a shell would expand, which is not done here. */
export function unexpanded(written: string): string | undefined {
  if (/^~(?:[/\\]|\w)/.test(written)) return '"~" is not expanded: write the whole path';
  const [variable] = /\$(?:\{\w+\}|\w+|\()/.exec(written) ?? [];
  return variable === undefined ? undefined : `"${variable}" is not expanded: write the whole path`;
}

/** @param written the path in the manifest @param made the target that makes the file, if any */
function checkFile(path: string, display: string, where: ErrorWhere, written: string, made?: string): void {
  let problem: string | undefined;
  try {
    const stats = statSync(path);
    if (!stats.isFile()) problem = stats.isDirectory() ? 'is a folder, not a file' : 'is not a file';
  } catch (cause) {
    const code = errnoOf(cause);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') {
      throw new IgvmError('FILE_UNREADABLE', `${display} cannot be read (${code})`, where);
    }
    const hint = unexpanded(written);
    const cure =
      made === undefined ? nearNames(path) : `; it is an output of ${made}: run that target, or correct the path`;
    problem = `does not exist${hint === undefined ? (cure ?? '') : `: ${hint}`}`;
    if (hint === undefined && cure === undefined) {
      throw new IgvmError('FILE_UNREADABLE', `${display} does not exist`, where);
    }
  }
  if (problem !== undefined) throw new IgvmError('FILE_UNREADABLE', `${display} ${problem}`, where, { saysAll: true });
}

function locateOne(resource: unknown, folders: Folders, where: ErrorWhere): LocatedResource {
  const reference = parseResource(resource);
  if (reference === undefined) throw new IgvmError('RESOURCE_PATH', 'this is not a valid resource', where);
  if (reference.kind === 'url') return { remote: reference, display: shownReference(reference), where };
  let path: string;
  if (reference.kind === 'output') path = resolve(needWorkspace(folders, where), reference.path);
  else {
    const base = baseFolder(reference, folders, where);
    path = reference.glob ? expandGlob(reference, base, where) : resolve(base, reference.path);
  }
  const display = folders.display(path);
  const made = reference.kind === 'output' ? `${reference.project}:${reference.target}` : undefined;
  checkFile(path, display, where, reference.path, made);
  checkNoRepository(path, display, where);
  return {
    path,
    display,
    where,
    ...outside(path, folders),
    ...(reference.sha256 === undefined ? {} : { sha256: reference.sha256 }),
  };
}

/** The files in `.git` may contain the token that the repository was cloned with. */
function checkNoRepository(path: string, display: string, where: ErrorWhere): void {
  if (![path, realpathSync(path)].some((each) => /(?:^|[\\/])\.git(?:[\\/]|$)/i.test(each))) return;
  throw new IgvmError(
    'RESOURCE_PATH',
    `${display} is part of the data of a Git repository, which is never packed`,
    where,
  );
}

function outside(path: string, { workspace }: Folders): Pick<ResolvedResource, 'outside'> {
  if (workspace === undefined) return {};
  if (!isInside(workspace, path)) return { outside: 'written' };
  return leadsOut(workspace, path) ? { outside: 'linked' } : {};
}

function missingResources(uses: ReadonlyMap<ResourceName, ResourceUse>, given: object): ResourceName[] {
  return [...uses]
    .filter(([name, { need }]) => need === 'required' && !Object.hasOwn(given, name))
    .map(([name]) => name);
}

/** The source of resources: the block in the manifest, or a separate file. */
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
 * Finds the files of all resources that the images use, in the order of RESOURCE_NAMES, and downloads those with a URL unless they are in
 * the download folder. Each file exists and is a regular file.
 * @throws IgvmError as {@link locateResources} and {@link fetchResources}
 */
export async function resolveResources(
  loaded: LoadedManifest,
  options: ResolveOptions = {},
): Promise<Map<ResourceName, ResolvedResource>> {
  return await fetchResources(locateResources(loaded, options), options.downloads);
}

/**
 * Downloads the resources with URLs, one after the other, unless they are in the download folder.
 * @throws IgvmError as `fetchReference`, with the place that names the resource; its `also` has the other failures
 */
export async function fetchResources(
  located: ReadonlyMap<ResourceName, LocatedResource>,
  options: DownloadOptions = {},
): Promise<Map<ResourceName, ResolvedResource>> {
  const resolved = new Map<ResourceName, ResolvedResource>();
  const errors: IgvmError[] = [];
  for (const [name, resource] of located) {
    if (!('remote' in resource)) {
      resolved.set(name, resource);
      continue;
    }
    const { remote, where } = resource;
    try {
      const { fetchReference } = require('./downloads') as typeof import('./downloads');
      resolved.set(name, { ...(await fetchReference(remote, where, options)), where, isDownload: true });
    } catch (error) {
      if (!(error instanceof IgvmError)) throw error;
      errors.push(error);
    }
  }
  if (errors.length > 0) throw combined(errors);
  return resolved;
}

/**
 * Downloads the resources with URLs that the images use. Their other resources are ignored, as they may not be built yet.
 * @throws IgvmError as {@link fetchResources}
 */
export async function fetchUrls(
  loaded: LoadedManifest,
  options: DownloadOptions = {},
): Promise<Map<ResourceName, ResolvedResource>> {
  const located = new Map<ResourceName, LocatedResource>();
  for (const name of usedResources(loaded.manifest).keys()) {
    const reference = parseResource(loaded.manifest.resources?.[name]);
    if (reference?.kind !== 'url') continue;
    located.set(name, {
      remote: reference,
      display: shownReference(reference),
      where: loaded.positionOf(['resources', name]),
    });
  }
  return await fetchResources(located, options);
}

/**
 * Finds the files of all resources that the images use, in the order of RESOURCE_NAMES, without using the network. Each file exists and
 * is a regular file. Resources with URLs are not downloaded.
 * @throws IgvmError RESOURCE_MISSING, RESOURCE_PATH or FILE_UNREADABLE, with the place that names the resource; MANIFEST_CONFLICT for an
 *   image that needs a resource which isn't given; DOWNLOAD_REFUSED for an invalid URL. Its `also` has the other mistakes.
 */
export function locateResources(
  loaded: LoadedManifest,
  options: ResolveOptions = {},
): Map<ResourceName, LocatedResource> {
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
  const errors: IgvmError[] = [];
  if (missing.length > 0) {
    const names = missing.map((name) => `"${name}"`).join(', ');
    const withoutInitrd = missing.join() === 'linux_initrd' ? ': add it, or set use_initrd to false' : '';
    errors.push(
      new IgvmError(
        'RESOURCE_MISSING',
        `the images need ${names}, which the resources do not name${withoutInitrd}`,
        table.whereAll(),
        { saysAll: withoutInitrd !== '' },
      ),
    );
  }
  errors.push(
    ...checkWithResources(
      loaded.manifest,
      (name) => Object.hasOwn(table.given, name),
      (path) => loaded.positionOf(path),
    ),
  );
  const resolved = new Map<ResourceName, LocatedResource>();
  for (const name of uses.keys()) {
    const resource = (table.given as Record<string, unknown>)[name];
    if (resource === undefined) continue;
    const where = table.whereOf(name);
    try {
      resolved.set(
        name,
        table.literal ? literalFile(resource as string, folders, where) : locateOne(resource, folders, where),
      );
    } catch (error) {
      if (!(error instanceof IgvmError)) throw error;
      errors.push(error);
    }
  }
  if (errors.length > 0) throw combined(errors);
  return resolved;
}

function literalFile(path: string, folders: Folders, where: ErrorWhere): ResolvedResource {
  const display = folders.display(path);
  checkFile(path, display, where, path);
  return { path, display, where, ...outside(path, folders) };
}
