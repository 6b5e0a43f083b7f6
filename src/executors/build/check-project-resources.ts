import { relative, resolve } from 'node:path';
import type { ExecutorContext, ProjectGraph } from 'nx/src/devkit-exports';
import { type ErrorWhere, IgvmError } from '../../errors/igvm-error';
import { globCovers } from '../../manifest/glob';
import { type LoadOptions, loadManifest } from '../../manifest/load-manifest';
import { nearest } from '../../manifest/nearest';
import { type OutputReference, parseResource } from '../../manifest/resource-reference';
import { usedResources } from '../../manifest/used-resources';
import { combined } from '../../manifest/validate';
import { GROUP_EXECUTOR } from '../../plugin/image-targets';
import { workspaceNx } from '../../plugin/workspace-nx';

const didYouMean = (name: string, candidates: Iterable<string>): string => {
  const guess = nearest(name, candidates);
  return guess === undefined ? '' : `; did you mean "${guess}"?`;
};

/** What is said under a name that comes from a file: `constructor` is no more than any other. */
const own = <Value>(table: Record<string, Value>, name: string): Value | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined;

const nodeOf = (graph: ProjectGraph, project: string) => own(graph.nodes, project);

/** What a target writes, of a target without files of its own (`nx:noop`, `nx-igvm:group`) what those write that it runs. */
function outputsOf(context: Context, project: string, target: string, seen = new Set<string>()): string[] {
  const { root, projectGraph: graph } = context;
  const node = nodeOf(graph, project);
  const configuration = own(node?.data.targets ?? {}, target);
  if (node === undefined || configuration === undefined || seen.has(`${project}:${target}`)) return [];
  seen.add(`${project}:${target}`);
  if (configuration.executor !== 'nx:noop' && configuration.executor !== GROUP_EXECUTOR) {
    return workspaceNx(root).getOutputsForTargetAndConfiguration({ project, target }, {}, node);
  }
  return (configuration.dependsOn ?? []).flatMap((dependency) => {
    if (typeof dependency === 'string') return outputsOf(context, project, dependency.replace(/^.*:/, ''), seen);
    const { projects = [project], target: name } = dependency;
    return [projects].flat().flatMap((other) => outputsOf(context, other === 'self' ? project : other, name, seen));
  });
}

/** Whether an output of a target is the file, a folder around it, or a pattern that matches one of the two. Names may be escaped. */
function covers(root: string, output: string, path: string): boolean {
  const inside = (folder: string) => {
    const rest = relative(resolve(root, folder), resolve(root, path));
    return rest === '' || !(rest === '..' || rest.startsWith('../') || rest.startsWith('..\\'));
  };
  if (inside(output) || inside(output.replace(/\\([\\*?[\]{}()!])/g, '$1'))) return true;
  try {
    return globCovers(output, path);
  } catch {
    // Nx's own patterns can do more. What we can't judge is not refused.
    return true;
  }
}

function check(context: Context, reference: OutputReference, where: ErrorWhere): void {
  const { root, projectGraph: graph } = context;
  const { project, target, path } = reference;
  const targets = nodeOf(graph, project)?.data.targets;
  if (targets === undefined) {
    const hint = didYouMean(project, Object.keys(graph.nodes));
    throw new IgvmError('NX_TARGET_UNKNOWN', `the workspace has no project "${project}"${hint}`, where);
  }
  if (!Object.hasOwn(targets, target)) {
    const hint = didYouMean(target, Object.keys(targets));
    throw new IgvmError('NX_TARGET_UNKNOWN', `the project "${project}" has no target "${target}"${hint}`, where);
  }
  const outputs = outputsOf(context, project, target);
  if (outputs.filter((output) => !output.startsWith('!')).some((output) => covers(root, output, path))) return;
  const declared = outputs.length === 0 ? 'it declares none' : `it declares ${outputs.slice(0, 4).join(', ')}`;
  throw new IgvmError('NX_OUTPUT_UNDECLARED', `"${path}" is no output of ${project}:${target}; ${declared}`, where);
}

type Context = Pick<ExecutorContext, 'root' | 'projectGraph'>;

/**
 * Refuses a manifest that uses the output of another target in a way that Nx can't follow: Nx itself only warns of a
 * target that doesn't exist, and doesn't see a change of a file that is no declared output.
 * @param manifest relative to the workspace or absolute
 * @throws IgvmError NX_TARGET_UNKNOWN or NX_OUTPUT_UNDECLARED at the place that names the resource, and what
 * `loadManifest` throws
 */
export function checkProjectResources(context: Context, manifest: string, options: LoadOptions = {}): void {
  // Other mistakes of the manifest are the build's to report, unless there is one here.
  const conflicts: IgvmError[] = [];
  const path = resolve(context.root, manifest);
  const loaded = loadManifest(path, { ...options, within: context.root, conflicts });
  const errors: IgvmError[] = [];
  for (const name of usedResources(loaded.manifest).keys()) {
    const reference = parseResource(loaded.manifest.resources?.[name]);
    if (reference?.kind !== 'output') continue;
    try {
      check(context, reference, loaded.positionOf(['resources', name]));
    } catch (error) {
      if (!(error instanceof IgvmError)) throw error;
      errors.push(error);
    }
  }
  if (errors.length > 0) throw combined([...conflicts, ...errors]);
}
