import { type CreateDependencies, DependencyType, type RawProjectGraphDependency } from '@nx/devkit';
import { parseResource } from '../manifest/resource-reference';
import { type ImageManifest, readImageManifest, usedOf } from './image-manifest';
import type { PluginOptions } from './plugin-options';

type Targets = Record<string, { executor?: string; options?: unknown }>;

/** Manifests of a project's images: those of its targets, inferred or not. */
function manifestsOf(root: string, targets: Targets | undefined): string[] {
  const paths = Object.values(targets ?? {}).flatMap(({ executor, options }) => {
    const manifest = (options as { manifest?: unknown } | undefined)?.manifest;
    return executor === 'nx-igvm:build' && typeof manifest === 'string' ? [manifest] : [];
  });
  const inWorkspace = paths.map((path) => path.replace(/^\{workspaceRoot\}\//, '').replaceAll('{projectRoot}', root));
  return [...new Set(inWorkspace)].sort();
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
    for (const target of manifestsOf(root, targets).flatMap((manifest) => usedProjects(workspaceRoot, manifest))) {
      // A project that doesn't exist is the executor's to report: an edge to it would fail every command.
      if (target === source || !Object.hasOwn(projects, target)) continue;
      edges.set(`${source}\n${target}`, { source, target, type: DependencyType.implicit });
    }
  }
  return [...edges.values()];
};
