import { readdirSync, readlinkSync } from 'node:fs';
import { dirname, isAbsolute, join, posix, relative, resolve, sep } from 'node:path';
import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { parseResource, type ResourceReference } from '../resources/resource-reference';
import { type HashRequest, runtimeInput } from './hash-files';
import type { NxFeatures, PluginPlace } from './workspace-nx';

export type Inputs = NonNullable<TargetConfiguration['inputs']>;
export type DependsOn = NonNullable<TargetConfiguration['dependsOn']>;

/** How Nx detects changes of what a target reads. */
export interface TrackedInputs {
  inputs: Inputs;
  dependsOn: DependsOn;
  /** Files for the `runtime` input. A target has one for all of them. */
  requests: HashRequest[];
  /**
   * Inputs for the current targets of links. `nx affected` needs them to find an image, and Nx hashes them again when another target has
   * written these files. The requests detect every change without them.
   */
  hints: Inputs;
}

/** For something that can't be examined: no two runs have the same hash. */
export const NEVER_CACHED: TrackedInputs = { inputs: [], dependsOn: [], requests: [{ never: true }], hints: [] };

/** The properties of a workspace and project that tracking depends on. */
export interface TrackingPlace {
  readonly workspaceRoot: string;
  readonly features: NxFeatures;
  /** Whether to resolve links now, for {@link TrackedInputs.hints}. */
  readonly followsLinks: boolean;
  /** The project's folder, relative to the workspace. `nx affected` knows the files in it. */
  readonly root?: string;
}

const NOTHING: TrackedInputs = { inputs: [], dependsOn: [], requests: [], hints: [] };

/** A path with `/` on every platform. Where the separator is `/`, a backslash is part of a name. */
export const toSlashes = (path: string): string => (sep === '/' ? path : path.replaceAll(sep, '/'));

/** A pattern of Nx that matches only this path. */
export const escapeGlob = (path: string): string => path.replace(/[\\*?[\]{}()!]/g, '\\$&');

/** The path that such a pattern matches. */
export const unescapeGlob = (pattern: string): string => pattern.replace(/\\([\\*?[\]{}()!])/g, '$1');

/** The path relative to the workspace, with `/`; undefined outside of it. */
export function inWorkspace(workspaceRoot: string, path: string): string | undefined {
  const inside = relative(workspaceRoot, path);
  return inside === '..' || /^\.\.[\\/]/.test(inside) || isAbsolute(inside) ? undefined : toSlashes(inside);
}

/** Longer chains of links are cut off. */
const MOST_LINKS = 40;

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/**
 * The paths that a path with links passes through inside the workspace: each link, and the final target. Empty for a path without
 * links.
 * @param inside relative to the workspace
 */
function passedPaths(workspaceRoot: string, inside: string): string[] {
  const found: string[] = [];
  let rest = inside.split('/');
  let at = '';
  while (rest.length > 0) {
    const [step, ...following] = rest as [string, ...string[]];
    const path = posix.join(at, step);
    const target = linkTarget(join(workspaceRoot, path));
    rest = following;
    if (target === undefined) {
      at = path;
      continue;
    }
    found.push(path);
    const next = inWorkspace(workspaceRoot, resolve(workspaceRoot, dirname(path), target));
    if (next === undefined || found.length > MOST_LINKS) return found;
    rest = [...next.split('/'), ...following];
    at = '';
  }
  return found.length === 0 ? [] : [...found, at];
}

/** Inputs for files that either another target or a commit may change. */
const changing = (pattern: string): Inputs => [
  { fileset: `{workspaceRoot}/${pattern}` },
  { dependentTasksOutputFiles: pattern, transitive: true },
];

/** @param below the part that is read below the path: empty, or a pattern that begins with `/` */
function hintsOf({ workspaceRoot, followsLinks, root }: TrackingPlace, inside: string, below = ''): Inputs {
  const all = followsLinks ? passedPaths(workspaceRoot, inside) : [];
  return all.flatMap((passed, index) => {
    const isEnd = index === all.length - 1;
    const inputs = changing(`${escapeGlob(passed)}${isEnd ? below : ''}`);
    // Nx doesn't list a dangling link, as before the first build. As an input, the link would change the hash once its target exists.
    return !isEnd && passed.startsWith(`${root}/`) ? inputs.slice(1) : inputs;
  });
}

/**
 * Inputs for a file at an absolute path. Only our script hashes links. It also watches for files that become links later, because Nx's
 * daemon keeps the inputs.
 * @param written the name of a path outside the workspace, the same in all clones
 * @param pinned whether the manifest contains its digest
 */
export function fileInputs(place: TrackingPlace, path: string, written: string, pinned = false): TrackedInputs {
  const inside = inWorkspace(place.workspaceRoot, path);
  // The manifest is hashed and contains the digest of a pinned file. The build refuses any other content.
  if (inside === undefined) return { ...NOTHING, requests: pinned ? [] : [{ file: written }] };
  const pattern = escapeGlob(inside);
  const { includeIgnored } = place.features;
  const fileset = `{workspaceRoot}/${pattern}`;
  const hints = hintsOf(place, inside);
  if (hints.length > 0) {
    const inputs = [{ dependentTasksOutputFiles: pattern, transitive: true }];
    return { inputs, dependsOn: [], requests: [{ file: inside }], hints };
  }
  return {
    // Another target may write the file. Before the tasks begin, Nx hashes its old content.
    inputs: [
      includeIgnored ? { fileset, includeIgnored } : { fileset },
      { dependentTasksOutputFiles: pattern, transitive: true },
    ],
    dependsOn: [],
    requests: [includeIgnored ? { linked: inside } : { file: inside }],
    hints,
  };
}

/** Inputs for a folder that is packed, including links, empty folders and permissions, which Nx doesn't hash. */
export function folderInputs(place: TrackingPlace, folder: string): TrackedInputs {
  const inside = inWorkspace(place.workspaceRoot, resolve(place.workspaceRoot, folder));
  const requests = [{ tree: folder }];
  if (inside === undefined || inside === '') return { ...NOTHING, requests };
  return {
    inputs: changing(`${escapeGlob(inside)}/**/*`),
    dependsOn: [],
    requests,
    hints: hintsOf(place, inside, '/**/*'),
  };
}

/** A step of a pattern in the syntax that all matchers share. Other syntax becomes `*`. Undefined if that isn't possible. */
function plainStep(step: string): string | undefined {
  if (step === '**') return step;
  const plain = step.replace(/\[[^\]]*\]|[!@+?*]\([^)]*\)|\\./g, '*').replace(/\*+/g, '*');
  return /^(?:[\w.*?@+~ -]|\{[\w.,-]+\})+$/.test(plain) ? plain : undefined;
}

/**
 * Splits a resource's pattern into a fixed folder and a pattern of Nx below it. Nx's pattern may match more files: it only helps
 * `nx affected` to find images, and the request decides which files count.
 */
function splitPattern(pattern: string): [folder: string, below: string] {
  const steps = pattern.split('/');
  const special = steps.findIndex((step) => /[\\*?[\]{}()!]/.test(step));
  const below = steps.slice(special).map(plainStep);
  const unknown = below.indexOf(undefined);
  const known = unknown === -1 ? below : [...below.slice(0, unknown), '**', '*'];
  return [steps.slice(0, special === -1 ? -1 : special).join('/'), known.join('/')];
}

/** The links in a folder that a pattern of one step may match. */
function linksIn(folder: string, rest: string): string[] {
  if (rest.includes('/') || rest.includes('{')) return [];
  const source = rest
    .replace(/[.+@~-]/g, '\\$&')
    .replace(/\*+/g, '.*')
    .replaceAll('?', '.');
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isSymbolicLink() && new RegExp(`^${source}$`).test(entry.name))
      .map(({ name }) => name)
      .slice(0, MOST_LINKS);
  } catch {
    return [];
  }
}

/** Inputs for the files that a pattern matches, including files that don't exist yet. */
function patternInputs(place: TrackingPlace, base: string, pattern: string, isAbsolutePath: boolean): TrackedInputs {
  const { workspaceRoot } = place;
  const request = { glob: pattern, base: isAbsolutePath ? '.' : inWorkspace(workspaceRoot, base) || '.' };
  const [folder, rest] = splitPattern(pattern);
  const inside = inWorkspace(workspaceRoot, resolve(isAbsolutePath ? '/' : base, folder));
  // Otherwise the whole workspace would be an input.
  if (inside === undefined || (inside === '' && rest.startsWith('**'))) return { ...NOTHING, requests: [request] };
  const links = linksIn(join(workspaceRoot, inside), rest).map((name) => posix.join(inside, name));
  return {
    inputs: changing(posix.join(escapeGlob(inside), rest)),
    dependsOn: [],
    requests: [request],
    hints: [...hintsOf(place, inside, `/${rest}`), ...links.flatMap((link) => hintsOf(place, link))],
  };
}

function outputInputs(reference: Extract<ResourceReference, { kind: 'output' }>): TrackedInputs {
  return {
    ...NOTHING,
    inputs: [{ dependentTasksOutputFiles: escapeGlob(reference.path), transitive: true }],
    dependsOn: [{ projects: [reference.project], target: reference.target }],
  };
}

/**
 * Inputs for a resource in a manifest. None for a value that makes no sense; the build reports it.
 * @param manifest path of the manifest, relative to the workspace
 */
export function resourceInputs(place: TrackingPlace, manifest: string, resource: unknown): TrackedInputs {
  const { workspaceRoot } = place;
  const reference = parseResource(resource);
  if (reference === undefined) return NOTHING;
  if (reference.kind === 'output') return outputInputs(reference);
  // The manifest is hashed and contains the digest. The build refuses any other content.
  if (reference.kind === 'url') return NOTHING;
  const base = reference.base === 'workspace' ? workspaceRoot : join(workspaceRoot, dirname(manifest));
  const isAbsolutePath = reference.base === 'absolute';
  if (reference.glob) return patternInputs(place, base, reference.path, isAbsolutePath);
  const path = resolve(base, reference.path);
  const written = toSlashes(isAbsolutePath ? path : relative(workspaceRoot, path));
  return fileInputs(place, path, written, reference.sha256 !== undefined);
}

/**
 * Inputs for a container image in an initrd.json: an archive, or the folder of an OCI layout. One may replace the other.
 * @param config path of the initrd.json, relative to the workspace
 */
export function imageInputs(place: TrackingPlace, config: string, image: unknown): TrackedInputs {
  const reference = parseResource(image);
  if (reference === undefined) return NOTHING;
  if (reference.kind === 'output') {
    const { inputs, ...others } = outputInputs(reference);
    const below = { dependentTasksOutputFiles: `${escapeGlob(reference.path)}/**/*`, transitive: true };
    return { ...others, inputs: [...inputs, below] };
  }
  if (reference.kind !== 'file' || reference.glob || reference.sha256 !== undefined) {
    return resourceInputs(place, config, image);
  }
  const { workspaceRoot } = place;
  const base = reference.base === 'workspace' ? workspaceRoot : join(workspaceRoot, dirname(config));
  const path = resolve(base, reference.path);
  const inside = inWorkspace(workspaceRoot, path);
  const written = toSlashes(reference.base === 'absolute' ? path : relative(workspaceRoot, path));
  const requests = [{ fileOrTree: inside ?? written }];
  if (inside === undefined || inside === '') return { ...NOTHING, requests };
  return {
    inputs: [...changing(escapeGlob(inside)), ...changing(`${escapeGlob(inside)}/**/*`)],
    dependsOn: [],
    requests,
    hints: [...hintsOf(place, inside), ...hintsOf(place, inside, '/**/*')],
  };
}

/** The union of several, without duplicates, in order. */
export function combineInputs(parts: readonly TrackedInputs[]): TrackedInputs {
  const unique = <Item>(items: Item[]): Item[] => [
    ...new Map(items.map((item) => [JSON.stringify(item), item])).values(),
  ];
  return {
    inputs: unique(parts.flatMap(({ inputs }) => inputs)),
    dependsOn: unique(parts.flatMap(({ dependsOn }) => dependsOn)),
    requests: unique(parts.flatMap(({ requests }) => requests)),
    hints: unique(parts.flatMap(({ hints }) => hints)),
  };
}

/** All inputs of a target: everything that it reads, and the plugin itself. */
export function allInputs(plugin: PluginPlace, { inputs, hints, requests }: TrackedInputs): Inputs {
  const unique = new Map([...inputs, ...hints].map((input) => [JSON.stringify(input), input]));
  return [...unique.values(), ...runtimeInput(plugin, [...requests, ...plugin.requests]), ...plugin.inputs];
}
