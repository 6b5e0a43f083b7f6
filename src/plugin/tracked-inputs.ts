import { readdirSync, readlinkSync } from 'node:fs';
import { dirname, isAbsolute, join, posix, relative, resolve, sep } from 'node:path';
import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { parseResource, type ResourceReference } from '../resources/resource-reference';
import { decodeRequests, encodeRequests, type HashRequest } from './hash-files';
import type { NxFeatures } from './workspace-nx';
import type { PluginPlace } from './plugin-place';

export type Inputs = NonNullable<TargetConfiguration['inputs']>;
export type DependsOn = NonNullable<TargetConfiguration['dependsOn']>;

/** How Nx comes to know of a change of what a target reads. */
export interface TrackedInputs {
  inputs: Inputs;
  dependsOn: DependsOn;
  /** Files for the `runtime` input, which is one for all of them. */
  requests: HashRequest[];
  /**
   * Inputs for what links lead to at the moment. `nx affected` finds an image by them, and they are hashed again when another target
   * has written these files. The requests see every change without them.
   */
  hints: Inputs;
}

/** Of something that can't be looked at: no run is like another. */
export const NEVER_CACHED: TrackedInputs = { inputs: [], dependsOn: [], requests: [{ never: true }], hints: [] };

/** A workspace, as far as tracking depends on it. */
export interface TrackingPlace {
  readonly workspaceRoot: string;
  readonly features: NxFeatures;
  /** Whether to look where links lead at the moment, for {@link TrackedInputs.hints}. */
  readonly followsLinks: boolean;
  /** The folder of the project, relative to the workspace: `nx affected` knows what lies there. */
  readonly root?: string;
}

const NOTHING: TrackedInputs = { inputs: [], dependsOn: [], requests: [], hints: [] };

/** A path with `/` on every platform. Where `/` separates anyway, a backslash is a part of a name. */
export const toSlashes = (path: string): string => (sep === '/' ? path : path.replaceAll(sep, '/'));

/** A path as a pattern of Nx that matches nothing but itself. */
export const escapeGlob = (path: string): string => path.replace(/[\\*?[\]{}()!]/g, '\\$&');

/** The path relative to the workspace with `/`, or undefined outside of it. */
export function inWorkspace(workspaceRoot: string, path: string): string | undefined {
  const inside = relative(workspaceRoot, path);
  return inside === '..' || /^\.\.[\\/]/.test(inside) || isAbsolute(inside) ? undefined : toSlashes(inside);
}

/** No chain of links is longer. */
const MOST_LINKS = 40;

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/**
 * The paths of a workspace that another one stands for by way of links: each link on the way and the end of it. Empty for
 * a path without links.
 * @param inside relative to the workspace
 */
function stations(workspaceRoot: string, inside: string): string[] {
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

/** A file, or a pattern of files, that another target may write, and that a commit may change. */
const changing = (pattern: string): Inputs => [
  { fileset: `{workspaceRoot}/${pattern}` },
  { dependentTasksOutputFiles: pattern, transitive: true },
];

/** @param below what is read below the path: nothing, or a pattern with a `/` in front */
function hintsOf({ workspaceRoot, followsLinks, root }: TrackingPlace, inside: string, below = ''): Inputs {
  const all = followsLinks ? stations(workspaceRoot, inside) : [];
  return all.flatMap((station, index) => {
    const isEnd = index === all.length - 1;
    const inputs = changing(`${escapeGlob(station)}${isEnd ? below : ''}`);
    // Nx doesn't list a link that leads nowhere yet, as before the first build: the link itself would be another input later.
    return !isEnd && station.startsWith(`${root}/`) ? inputs.slice(1) : inputs;
  });
}

/**
 * Inputs for a file at an absolute path. A link is hashed by us alone. So is what becomes one later: Nx's daemon keeps the inputs.
 * @param written how a target names a path outside the workspace: so that clones agree
 * @param pinned whether the manifest holds its digest
 */
export function fileInputs(place: TrackingPlace, path: string, written: string, pinned = false): TrackedInputs {
  const inside = inWorkspace(place.workspaceRoot, path);
  // The manifest, which is hashed, says what a pinned file is; the build refuses any other.
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
    // Another target may write the file: what Nx hashes before the tasks begin is the old one.
    inputs: [
      includeIgnored ? { fileset, includeIgnored } : { fileset },
      { dependentTasksOutputFiles: pattern, transitive: true },
    ],
    dependsOn: [],
    requests: [includeIgnored ? { linked: inside } : { file: inside }],
    hints,
  };
}

/** Inputs for everything in a folder as an initramfs takes it: with links, empty folders and permissions, none of which Nx hashes. */
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

/** A step of a pattern in the words that all readers of patterns share: what others mean becomes `*`. Undefined for a stranger one. */
function plainStep(step: string): string | undefined {
  if (step === '**') return step;
  const plain = step.replace(/\[[^\]]*\]|[!@+?*]\([^)]*\)|\\./g, '*').replace(/\*+/g, '*');
  return /^(?:[\w.*?@+~ -]|\{[\w.,-]+\})+$/.test(plain) ? plain : undefined;
}

/**
 * The folder that a resource's pattern starts from, and what is below it as a pattern of Nx. That one may match more: it finds
 * images for `nx affected`, and what counts is what the request finds.
 */
function splitPattern(pattern: string): [folder: string, below: string] {
  const steps = pattern.split('/');
  const special = steps.findIndex((step) => /[\\*?[\]{}()!]/.test(step));
  const below = steps.slice(special).map(plainStep);
  const stranger = below.indexOf(undefined);
  const known = stranger === -1 ? below : [...below.slice(0, stranger), '**', '*'];
  return [steps.slice(0, special === -1 ? -1 : special).join('/'), known.join('/')];
}

/** The links among the files of a folder that a pattern of one step may match. */
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

/** Inputs for the files that a pattern matches, which change with files that neither Nx nor we know yet. */
function patternInputs(place: TrackingPlace, base: string, pattern: string, isAbsolutePath: boolean): TrackedInputs {
  const { workspaceRoot } = place;
  const request = { glob: pattern, base: isAbsolutePath ? '.' : inWorkspace(workspaceRoot, base) || '.' };
  const [folder, rest] = splitPattern(pattern);
  const inside = inWorkspace(workspaceRoot, resolve(isAbsolutePath ? '/' : base, folder));
  // The whole workspace would be an input.
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
 * Inputs for a resource as a manifest states it; nothing for what has no meaning, which the build reports.
 * @param manifest path of the manifest, relative to the workspace
 */
export function resourceInputs(place: TrackingPlace, manifest: string, resource: unknown): TrackedInputs {
  const { workspaceRoot } = place;
  const reference = parseResource(resource);
  if (reference === undefined) return NOTHING;
  if (reference.kind === 'output') return outputInputs(reference);
  // The manifest, which is hashed, says what comes from there; the build refuses anything else.
  if (reference.kind === 'url') return NOTHING;
  const base = reference.base === 'workspace' ? workspaceRoot : join(workspaceRoot, dirname(manifest));
  const isAbsolutePath = reference.base === 'absolute';
  if (reference.glob) return patternInputs(place, base, reference.path, isAbsolutePath);
  const path = resolve(base, reference.path);
  const written = toSlashes(isAbsolutePath ? path : relative(workspaceRoot, path));
  return fileInputs(place, path, written, reference.sha256 !== undefined);
}

/**
 * Inputs for a container image as an initrd.json names it: an archive, or the folder of an OCI layout, which may take each other's
 * place.
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

/** All of several, each once, in their order. */
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

/**
 * What a shell prints in place of the hashing script when that can't run: there is no `node` in PATH, as for an IDE or a service, or
 * one that is too old, or the plugin has moved. Nx would take the same failure for the same files, so each time it has to be something
 * new, without any program: for sh its process, a number of the kernel (Linux), a random number (bash, zsh, busybox) and the time
 * (where /bin/date is); for cmd.exe, which reads the same words, a random number and the time. The words are the same on every
 * system, as they are part of the hash.
 */
const OTHERWISE =
  'echo "never $$ $RANDOM $(read u < /proc/sys/kernel/random/uuid; echo $u) $(/bin/date) %RANDOM% %DATE% %TIME%"';

/** The `runtime` input that hashes what Nx can't track. File names never come near a shell. */
export function runtimeInput({ script }: Pick<PluginPlace, 'script'>, requests: readonly HashRequest[]): Inputs {
  if (requests.length === 0) return [];
  return [{ runtime: `node ${programWord(script)} ${encodeRequests(requests)} || ${OTHERWISE}` }];
}

/** What has Node run a script. One with a path that a shell could take for more than a word is named in base64. */
function programWord(script: string): string {
  if (/^[\w@./-]+$/.test(script)) return script;
  const path = `Buffer.from('${Buffer.from(script).toString('base64url')}','base64url')+''`;
  return `-e "process.argv.splice(1,0,require('path').resolve(${path}));require('module').runMain()"`;
}

/** The requests of such an input; none for a command of others. */
export function requestsOf(command: string): HashRequest[] {
  const [, argument] = /^node .* ([\w-]+) \|\| echo "never /.exec(command) ?? [];
  try {
    return argument === undefined ? [] : decodeRequests(argument);
  } catch {
    return [];
  }
}

/** All inputs of a target: of what it reads, and of the plugin. */
export function allInputs(plugin: PluginPlace, { inputs, hints, requests }: TrackedInputs): Inputs {
  const unique = new Map([...inputs, ...hints].map((input) => [JSON.stringify(input), input]));
  return [...unique.values(), ...runtimeInput(plugin, [...requests, ...plugin.requests]), ...plugin.inputs];
}
