import { relative, resolve } from 'node:path';
import type {
  CreateDependencies,
  DependencyType,
  ExecutorContext,
  ProjectGraph,
  RawProjectGraphDependency,
} from 'nx/src/devkit-exports';
import { type ErrorWhere, formatPlaced, IgvmError } from '../errors/igvm-error';
import { nearest } from '../manifest/unknown-keys';
import { globCovers } from '../resources/glob';
import { type OutputReference, parseResource } from '../resources/resource-reference';
import { BUILD_EXECUTOR, readImageManifest, usedOf } from './inferred-image';
import { GROUP_EXECUTOR, INITRD_EXECUTOR, readInitrdFile } from './inferred-targets';
import { type PluginOptions, readPluginOptions, replaceTokens, type TokenProject } from './configuration';
import { unescapeGlob } from './tracked-inputs';
import { haveGraphWritten, workspaceNx } from './workspace-nx';

/** A constant of nx. Loading nx for it would take too long. */
const IMPLICIT = 'implicit' as DependencyType.implicit;

type Targets = Record<string, { executor?: string; options?: unknown; cache?: boolean }>;

/** The option that names the file in which a target's inputs are described. */
const CONFIGURED_BY: Readonly<Record<string, 'manifest' | 'config'>> = {
  [BUILD_EXECUTOR]: 'manifest',
  [INITRD_EXECUTOR]: 'config',
};

/** The manifests and initrd.json files of a project's targets, inferred or not. */
function filesOf(project: TokenProject, targets: Targets | undefined): { path: string; isManifest: boolean }[] {
  const files = Object.values(targets ?? {}).flatMap(({ executor, options }) => {
    const key = Object.hasOwn(CONFIGURED_BY, executor ?? '') ? CONFIGURED_BY[executor ?? ''] : undefined;
    const path = key === undefined ? undefined : (options as Record<string, unknown> | undefined)?.[key];
    return typeof path === 'string'
      ? [
          [
            replaceTokens(path, project),
            { path: replaceTokens(path, project), isManifest: key === 'manifest' },
          ] as const,
        ]
      : [];
  });
  return [...new Map(files).values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The outputs of other targets that an image or initramfs uses. */
function usedOutputs(workspaceRoot: string, path: string, isManifest: boolean): OutputReference[] {
  let used: unknown[];
  try {
    if (isManifest) {
      const manifest = readImageManifest(workspaceRoot, path);
      used = usedOf(manifest, manifest.resources);
    } else {
      const { image, modules } = readInitrdFile(workspaceRoot, path);
      used = [image, ...modules];
    }
  } catch {
    // Inference has reported the error, or the executor will.
    return [];
  }
  return used.flatMap((resource) => {
    const reference = parseResource(resource);
    return reference?.kind === 'output' ? [reference] : [];
  });
}

/**
 * Executors that only create files, or do nothing themselves. The dependencies of such targets come from the workspace's own
 * configuration.
 */
const HARMLESS = [BUILD_EXECUTOR, INITRD_EXECUTOR, GROUP_EXECUTOR, 'nx:noop'];

/**
 * The reason why a resource may not name a target: Nx doesn't cache it. A manifest looks like data, so reviewers may overlook a change.
 * But the target runs, with the secrets of CI. A cacheable target only creates files.
 */
function refusalOf(
  { project, target }: OutputReference,
  projects: Readonly<Record<string, { targets?: Targets }>>,
  allowed: readonly string[],
): string | undefined {
  const targets = Object.hasOwn(projects, project) ? projects[project]?.targets : undefined;
  const found = targets !== undefined && Object.hasOwn(targets, target) ? targets[target] : undefined;
  // The executor reports a target that doesn't exist.
  if (found === undefined || found.cache === true || HARMLESS.includes(found.executor ?? '')) return undefined;
  const name = `${project}:${target}`;
  if (allowed.includes(name) || allowed.includes(target)) return undefined;
  return `a resource names ${name}, which would run, and is not cacheable`;
}

/**
 * An edge from each image's project to every project whose output the image uses.
 * @throws IgvmError NX_TARGET_UNCACHED when a manifest would run a target that it may not
 */
export const createDependencies: CreateDependencies<PluginOptions> = (options, { projects, workspaceRoot }) => {
  haveGraphWritten(workspaceRoot);
  // Inference has reported mistakes in the options.
  const { resourceTargets = [] } = readPluginOptions(options, () => undefined);
  const refusals: string[] = [];
  const edges = new Map<string, RawProjectGraphDependency>();
  for (const [source, { root, targets }] of Object.entries(projects)) {
    const outputs = filesOf({ name: source, root }, targets).flatMap(({ path, isManifest }) =>
      usedOutputs(workspaceRoot, path, isManifest).map((output) => ({ path, output })),
    );
    for (const { path, output } of outputs) {
      const { project: target } = output;
      const refusal = refusalOf(output, projects, resourceTargets);
      if (refusal !== undefined) refusals.push(formatPlaced(refusal, { file: path }));
      // The executor reports a project that doesn't exist. An edge to it would fail every command.
      if (target === source || !Object.hasOwn(projects, target)) continue;
      edges.set(`${source}\n${target}`, { source, target, type: IMPLICIT });
    }
  }
  if (refusals.length > 0) {
    // Nx shows only the message. No target runs, because the refused one could be among the first.
    throw new IgvmError('NX_TARGET_UNCACHED', [...new Set(refusals)].join('\n'));
  }
  return [...edges.values()];
};

/** The workspace's folder and its projects. */
export type OutputContext = Pick<ExecutorContext, 'root' | 'projectGraph'>;

/** The end of a message about an unknown name: the nearest known one, if any is similar. */
export const didYouMean = (name: string, candidates: Iterable<string>): string => {
  const guess = nearest(name, candidates);
  return guess === undefined ? '' : `; did you mean "${guess}"?`;
};

/** The value under a name from a file. Inherited properties such as `constructor` don't count. */
const own = <Value>(table: Record<string, Value>, name: string): Value | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined;

const nodeOf = (graph: ProjectGraph, project: string) => own(graph.nodes, project);

/** The outputs of a target. For one without files of its own (`nx:noop`, `nx-igvm:group`), those of the targets that it runs. */
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

/** Whether an output is the file, a folder that contains it, or a pattern that matches one of these. Names may be escaped. */
function covers(root: string, output: string, path: string): boolean {
  const inside = (folder: string) => {
    const rest = relative(resolve(root, folder), resolve(root, path));
    return rest === '' || !(rest === '..' || rest.startsWith('../') || rest.startsWith('..\\'));
  };
  if (inside(output) || inside(unescapeGlob(output))) return true;
  try {
    return globCovers(output, path);
  } catch {
    // Nx's patterns have more syntax. A pattern that we can't evaluate is not refused.
    return true;
  }
}

/**
 * Refuses a use of another target's output that Nx can't track.
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
