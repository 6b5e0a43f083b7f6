import { basename, dirname, join } from 'node:path';
import {
  type CreateNodes,
  type CreateNodesContext,
  type CreateNodesResult,
  createNodesFromFiles,
  type TargetConfiguration,
} from '@nx/devkit';
import { readImageManifest } from './image-manifest';
import { imageTargets, togetherTargets } from './image-targets';
import { type InferredProject, nameImages, targetName } from './inferred-image';
import { initrdTarget, readInitrdFile } from './initrd-target';
import { mergeTarget } from './merge-target';
import { locatePlugin, type PluginPlace } from './plugin-inputs';
import type { PluginOptions } from './plugin-options';
import { readProjectFiles } from './project-files';

/**
 * An image's manifest is `igvm.json`, or `NAME.igvm.json` where a project has several. `initrd.json` says what an
 * initramfs is packed from.
 */
export const FILES_GLOB = '**/{igvm.json,*.igvm.json,initrd.json}';

type Targets = Record<string, TargetConfiguration>;

/** What one file adds to the project of its folder. */
interface Contribution {
  /** The project's name, as far as the file has one. */
  name?: string;
  targets: Targets;
}

const isInitrd = (path: string): boolean => basename(path) === 'initrd.json';

/** @param siblings all manifests of the folder, sorted; the first adds what they share */
function imageContribution(path: string, siblings: readonly string[], project: InferredProject): Contribution {
  const manifest = readImageManifest(project.workspaceRoot, path);
  const images = nameImages(siblings);
  const names = images.find((image) => image.path === path)!;
  const shared = images.length > 1 && images[0] === names;
  const suffixes = images.map(({ suffix }) => suffix);
  return {
    name: manifest.name,
    targets: {
      ...imageTargets({ ...names, project, manifest }),
      ...(shared ? togetherTargets(suffixes, project.options) : {}),
    },
  };
}

function initrdContribution(path: string, siblings: readonly string[], project: InferredProject): Contribution {
  const initrd = readInitrdFile(project.workspaceRoot, path);
  // `build` is for the image, where there is one.
  const target = targetName('initrd', project.options, siblings.length === 0 ? 'build' : 'initrd');
  const targets: Targets = {};
  if (target !== undefined) {
    targets[target] = mergeTarget(initrdTarget(project, initrd, target), project.options.initrd);
  }
  return { name: initrd.name, targets };
}

/** @param neighbours all files of the folder that contribute to its project, sorted */
function createNode(
  path: string,
  neighbours: readonly string[],
  options: PluginOptions,
  plugin: PluginPlace,
  { workspaceRoot, nxJsonConfiguration: nxJson }: CreateNodesContext,
): CreateNodesResult {
  const root = dirname(path);
  const files = readProjectFiles(join(workspaceRoot, root));
  const project: InferredProject = { workspaceRoot, nxJson, options, plugin, files, root };
  const contribute = isInitrd(path) ? initrdContribution : imageContribution;
  const manifests = neighbours.filter((neighbour) => !isInitrd(neighbour));
  const { name, targets } = contribute(path, manifests, project);
  // Nx joins the lists of several contributions: what is the same in all comes from one.
  const technologies = neighbours[0] === path ? { technologies: ['igvm'] } : {};
  return {
    projects: {
      [root]: {
        root,
        ...(files.named ? {} : { name: name ?? (root === '.' ? 'image' : basename(root)) }),
        targets,
        metadata: { ...technologies, targetGroups: { IGVM: Object.keys(targets) } },
      },
    },
  };
}

function byFolder(paths: readonly string[]): Map<string, string[]> {
  const folders = new Map<string, string[]>();
  for (const path of paths) {
    const neighbours = folders.get(dirname(path));
    if (neighbours === undefined) folders.set(dirname(path), [path]);
    else neighbours.push(path);
  }
  return folders;
}

/** Infers the targets of every image and initramfs. Reads their JSON files, and nothing that these name. */
export const createNodes: CreateNodes<PluginOptions> = [
  FILES_GLOB,
  (paths, options, context) => {
    // Whatever order they come in, what they make of a project is the same.
    const sorted = [...paths].sort();
    const folders = byFolder(sorted);
    const plugin = locatePlugin(context.workspaceRoot);
    return createNodesFromFiles(
      (path, own, pathContext) => createNode(path, folders.get(dirname(path)) ?? [], own ?? {}, plugin, pathContext),
      sorted,
      options,
      context,
    );
  },
];
