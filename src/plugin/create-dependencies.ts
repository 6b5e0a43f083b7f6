import type { CreateDependencies, DependencyType, RawProjectGraphDependency } from 'nx/src/devkit-exports';
import { parseResource } from '../manifest/resource-reference';
import { type ImageManifest, readImageManifest, usedOf } from './inferred-image';
import { replaceTokens, type TokenProject } from './own-target';
import type { PluginOptions } from './plugin-options';

/** A value of nx that isn't worth loading nx for. */
const IMPLICIT = 'implicit' as DependencyType.implicit;

type Targets = Record<string, { executor?: string; options?: unknown }>;

/** Manifests of a project's images: those of its targets, inferred or not. */
function manifestsOf(project: TokenProject, targets: Targets | undefined): string[] {
  const paths = Object.values(targets ?? {}).flatMap(({ executor, options }) => {
    const manifest = (options as { manifest?: unknown } | undefined)?.manifest;
    return executor === 'nx-igvm:build' && typeof manifest === 'string' ? [manifest] : [];
  });
  return [...new Set(paths.map((path) => replaceTokens(path, project)))].sort();
}

/** Names of the projects whose outputs an image uses. */
function usedProjects(workspaceRoot: string, path: string): string[] {
  let manifest: ImageManifest;
  try {
    manifest = readImageManifest(workspaceRoot, path);
  } catch {
    // Inference has reported it, or the executor will.
    return [];
  }
  return usedOf(manifest, manifest.resources).flatMap((resource) => {
    const reference = parseResource(resource);
    return reference?.kind === 'output' ? [reference.project] : [];
  });
}

/** An edge from each image's project to every project whose output the image uses. */
export const createDependencies: CreateDependencies<PluginOptions> = (_, { projects, workspaceRoot }) => {
  const edges = new Map<string, RawProjectGraphDependency>();
  for (const [source, { root, targets }] of Object.entries(projects)) {
    const manifests = manifestsOf({ name: source, root }, targets);
    for (const target of manifests.flatMap((manifest) => usedProjects(workspaceRoot, manifest))) {
      // A project that doesn't exist is the executor's to report: an edge to it would fail every command.
      if (target === source || !Object.hasOwn(projects, target)) continue;
      edges.set(`${source}\n${target}`, { source, target, type: IMPLICIT });
    }
  }
  return [...edges.values()];
};
