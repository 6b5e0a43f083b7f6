import { lstatSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { parseResource, type ResourceReference } from '../manifest/resource-reference';
import type { HashRequest } from './hash-request';
import { toSlashes } from './package';

type Inputs = NonNullable<TargetConfiguration['inputs']>;
type DependsOn = NonNullable<TargetConfiguration['dependsOn']>;

/** How Nx comes to know of a change of what a target reads. */
export interface TrackedInputs {
  inputs: Inputs;
  dependsOn: DependsOn;
  /** Files for the `runtime` input, which is one for all of them. */
  requests: HashRequest[];
}

/** A path as a pattern of Nx that matches nothing but itself. */
export const escapeGlob = (path: string): string => path.replace(/[\\*?[\]{}()!]/g, '\\$&');

/** The path relative to the workspace with `/`, or undefined outside of it. */
export function inWorkspace(workspaceRoot: string, path: string): string | undefined {
  const inside = relative(workspaceRoot, path);
  return inside === '..' || /^\.\.[\\/]/.test(inside) || isAbsolute(inside) ? undefined : toSlashes(inside);
}

/** Whether the file itself or a folder on the way from the workspace's root is a link. */
function passesLink(workspaceRoot: string, path: string): boolean {
  const steps = path.split('/');
  return steps.some((_, index) => {
    const info = lstatSync(join(workspaceRoot, ...steps.slice(0, index + 1)), { throwIfNoEntry: false });
    return info?.isSymbolicLink() ?? false;
  });
}

/** Inputs for a file at an absolute path. Where it lies decides how a change of it can be seen. */
export function fileInputs(workspaceRoot: string, path: string, written: string, pinned = false): TrackedInputs {
  const inside = inWorkspace(workspaceRoot, path);
  // The manifest, which is hashed, says what a pinned file is; the build refuses any other.
  if (inside === undefined && pinned) return { inputs: [], dependsOn: [], requests: [] };
  if (inside === undefined) return { inputs: [], dependsOn: [], requests: [{ file: written }] };
  if (isLinked(workspaceRoot, inside)) return { inputs: [], dependsOn: [], requests: [{ file: inside }] };
  return {
    inputs: [{ fileset: `{workspaceRoot}/${escapeGlob(inside)}`, includeIgnored: true }],
    dependsOn: [],
    requests: [],
  };
}

function isLinked(workspaceRoot: string, inside: string): boolean {
  try {
    return passesLink(workspaceRoot, inside);
  } catch {
    // A folder that may not be searched: let the `runtime` input say so.
    return true;
  }
}

/** How a path outside the workspace is written in a target: as in the manifest, so that clones agree. */
function writtenPath(workspaceRoot: string, path: string, absolute: boolean): string {
  return toSlashes(absolute ? path : relative(workspaceRoot, path));
}

function outputInputs(reference: Extract<ResourceReference, { kind: 'output' }>): TrackedInputs {
  return {
    inputs: [{ dependentTasksOutputFiles: escapeGlob(reference.path), transitive: true }],
    dependsOn: [{ projects: [reference.project], target: reference.target }],
    requests: [],
  };
}

/**
 * Inputs for a resource as a manifest states it; nothing for what has no meaning, which the build reports.
 * @param manifest path of the manifest, relative to the workspace
 */
export function resourceInputs(workspaceRoot: string, manifest: string, resource: unknown): TrackedInputs {
  const reference = parseResource(resource);
  if (reference === undefined) return { inputs: [], dependsOn: [], requests: [] };
  if (reference.kind === 'output') return outputInputs(reference);
  const base = reference.base === 'workspace' ? workspaceRoot : join(workspaceRoot, dirname(manifest));
  if (reference.glob) {
    // What a pattern matches changes with files that neither Nx nor we know yet.
    const folder = reference.base === 'absolute' ? '.' : inWorkspace(workspaceRoot, base) || '.';
    return { inputs: [], dependsOn: [], requests: [{ glob: reference.path, base: folder }] };
  }
  const path = resolve(base, reference.path);
  const written = writtenPath(workspaceRoot, path, reference.base === 'absolute');
  return fileInputs(workspaceRoot, path, written, reference.sha256 !== undefined);
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
  };
}
