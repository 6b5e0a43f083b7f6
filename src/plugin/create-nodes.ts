import { basename, dirname, join } from 'node:path';
import {
  type CreateNodes,
  type CreateNodesContext,
  type CreateNodesResult,
  createNodesFromFiles,
  type ProjectConfiguration,
} from '@nx/devkit';
import { readImageManifest } from './image-manifest';
import { imageTargets, nameImages, togetherTargets } from './image-targets';
import { locatePlugin, type PluginPlace } from './plugin-inputs';
import type { PluginOptions } from './plugin-options';
import { readProjectFiles } from './project-files';

/** An image's manifest: `igvm.json`, or `NAME.igvm.json` where a project has several. */
export const MANIFEST_GLOB = '**/{igvm.json,*.igvm.json}';

function byFolder(manifests: readonly string[]): Map<string, string[]> {
  const folders = new Map<string, string[]>();
  for (const manifest of [...manifests].sort()) {
    const folder = dirname(manifest);
    folders.set(folder, [...(folders.get(folder) ?? []), manifest]);
  }
  return folders;
}

/**
 * The part of a project that one manifest makes.
 * @param siblings all manifests of its folder, sorted; the first adds what they share
 */
function projectOf(
  path: string,
  siblings: readonly string[],
  options: PluginOptions,
  plugin: PluginPlace,
  context: CreateNodesContext,
): CreateNodesResult {
  const { workspaceRoot, nxJsonConfiguration: nxJson } = context;
  const projectRoot = dirname(path);
  const project = readProjectFiles(join(workspaceRoot, projectRoot));
  const manifest = readImageManifest(workspaceRoot, path);
  const images = nameImages(siblings);
  const image = images.find((candidate) => candidate.manifest === path)!;
  const shared = images.length > 1 && images[0] === image;
  const targets = {
    ...imageTargets({ ...image, workspaceRoot, nxJson, options, plugin, project, projectRoot, manifest }),
    ...(shared
      ? togetherTargets(
          images.map(({ suffix }) => suffix),
          options,
        )
      : {}),
  };
  const configuration: Partial<ProjectConfiguration> = {
    root: projectRoot,
    ...(project.named ? {} : { name: manifest.name ?? (projectRoot === '.' ? 'image' : basename(projectRoot)) }),
    targets,
    metadata: { technologies: ['igvm'], targetGroups: { IGVM: Object.keys(targets) } },
  };
  return { projects: { [projectRoot]: configuration } };
}

/** Infers the targets of every image of the workspace. Reads the manifests, and nothing that they name. */
export const createNodes: CreateNodes<PluginOptions> = [
  MANIFEST_GLOB,
  (files, options, context) => {
    const folders = byFolder(files);
    const plugin = locatePlugin(context.workspaceRoot);
    return createNodesFromFiles(
      (file, own, fileContext) => projectOf(file, folders.get(dirname(file)) ?? [file], own ?? {}, plugin, fileContext),
      files,
      options,
      context,
    );
  },
];
