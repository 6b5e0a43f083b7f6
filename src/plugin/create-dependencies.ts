import type { CreateDependencies, DependencyType, RawProjectGraphDependency } from 'nx/src/devkit-exports';
import { formatPlaced, IgvmError } from '../errors/igvm-error';
import { type OutputReference, parseResource } from '../resources/resource-reference';
import { BUILD_EXECUTOR } from './build-target';
import { GROUP_EXECUTOR } from './image-targets';
import { INITRD_EXECUTOR } from './initrd-target';
import { type ImageManifest, readImageManifest, usedOf } from './inferred-image';
import { replaceTokens, type TokenProject } from './own-target';
import { type PluginOptions, readPluginOptions } from './plugin-options';

/** A value of nx that isn't worth loading nx for. */
const IMPLICIT = 'implicit' as DependencyType.implicit;

type Targets = Record<string, { executor?: string; options?: unknown; cache?: boolean }>;

/** Manifests of a project's images: those of its targets, inferred or not. */
function manifestsOf(project: TokenProject, targets: Targets | undefined): string[] {
  const paths = Object.values(targets ?? {}).flatMap(({ executor, options }) => {
    const manifest = (options as { manifest?: unknown } | undefined)?.manifest;
    return executor === BUILD_EXECUTOR && typeof manifest === 'string' ? [manifest] : [];
  });
  return [...new Set(paths.map((path) => replaceTokens(path, project)))].sort();
}

/** The outputs of other targets that an image uses. */
function usedOutputs(workspaceRoot: string, path: string): OutputReference[] {
  let manifest: ImageManifest;
  try {
    manifest = readImageManifest(workspaceRoot, path);
  } catch {
    // Inference has reported it, or the executor will.
    return [];
  }
  return usedOf(manifest, manifest.resources).flatMap((resource) => {
    const reference = parseResource(resource);
    return reference?.kind === 'output' ? [reference] : [];
  });
}

/**
 * Executors that make files and nothing else, or do nothing themselves: what targets with these depend on is the workspace's own
 * configuration.
 */
const HARMLESS = [BUILD_EXECUTOR, INITRD_EXECUTOR, GROUP_EXECUTOR, 'nx:noop'];

/**
 * Why a resource may not name a target: it isn't one that Nx caches. A manifest looks like data, and reviewers let a change
 * of it pass; but what it names runs, with the secrets that CI has. A cacheable target makes files and nothing else.
 */
function refusalOf(
  { project, target }: OutputReference,
  projects: Readonly<Record<string, { targets?: Targets }>>,
  allowed: readonly string[],
): string | undefined {
  const targets = Object.hasOwn(projects, project) ? projects[project]?.targets : undefined;
  const found = targets !== undefined && Object.hasOwn(targets, target) ? targets[target] : undefined;
  // One that doesn't exist is the executor's to report.
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
  // What is wrong with the options, inference has said.
  const { resourceTargets = [] } = readPluginOptions(options, () => undefined);
  const refusals: string[] = [];
  const edges = new Map<string, RawProjectGraphDependency>();
  for (const [source, { root, targets }] of Object.entries(projects)) {
    const manifests = manifestsOf({ name: source, root }, targets);
    const outputs = manifests.flatMap((path) => usedOutputs(workspaceRoot, path).map((output) => ({ path, output })));
    for (const { path, output } of outputs) {
      const { project: target } = output;
      const refusal = refusalOf(output, projects, resourceTargets);
      if (refusal !== undefined) refusals.push(formatPlaced(refusal, { file: path }));
      // A project that doesn't exist is the executor's to report: an edge to it would fail every command.
      if (target === source || !Object.hasOwn(projects, target)) continue;
      edges.set(`${source}\n${target}`, { source, target, type: IMPLICIT });
    }
  }
  if (refusals.length > 0) {
    // Nx shows the message alone. Nothing runs: the target would be among the first.
    throw new IgvmError('NX_TARGET_UNCACHED', [...new Set(refusals)].join('\n'));
  }
  return [...edges.values()];
};
