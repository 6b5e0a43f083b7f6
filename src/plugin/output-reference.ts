import { relative, resolve } from 'node:path';
import type { ExecutorContext, ProjectGraph } from 'nx/src/devkit-exports';
import { type ErrorWhere, IgvmError } from '../errors/igvm-error';
import { globCovers } from '../resources/glob';
import { nearest } from '../manifest/nearest';
import type { OutputReference } from '../resources/resource-reference';
import { GROUP_EXECUTOR } from './image-targets';
import { workspaceNx } from './workspace-nx';

/** What is looked at: the workspace's folder and its projects. */
export type OutputContext = Pick<ExecutorContext, 'root' | 'projectGraph'>;

/** The end of a message about a name that isn't there. */
export const didYouMean = (name: string, candidates: Iterable<string>): string => {
  const guess = nearest(name, candidates);
  return guess === undefined ? '' : `; did you mean "${guess}"?`;
};

/** What is said under a name that comes from a file: `constructor` is no more than any other. */
const own = <Value>(table: Record<string, Value>, name: string): Value | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined;

const nodeOf = (graph: ProjectGraph, project: string) => own(graph.nodes, project);

/** What a target writes, of a target without files of its own (`nx:noop`, `nx-igvm:group`) what those write that it runs. */
export function outputsOf(context: OutputContext, project: string, target: string, seen = new Set<string>()): string[] {
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

/**
 * Refuses the use of another target's output in a way that Nx can't follow.
 * @throws IgvmError NX_TARGET_UNKNOWN, NX_OUTPUT_UNDECLARED
 */
export function checkOutputReference(context: OutputContext, reference: OutputReference, where: ErrorWhere = {}): void {
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
  throw new IgvmError('NX_OUTPUT_UNDECLARED', `"${path}" is not an output of ${project}:${target}; ${declared}`, where);
}
