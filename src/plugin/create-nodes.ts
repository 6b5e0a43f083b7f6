import { basename, dirname, join } from 'node:path';
import type { CreateNodes, CreateNodesContext, CreateNodesResult, TargetConfiguration } from 'nx/src/devkit-exports';
import { logger } from './logger';
import { printable } from '../errors/printable';
import { readImageManifest } from './image-manifest';
import { withImageName } from './image-name-token';
import { hasBootTest } from './boot-target';
import { imageTargets, togetherTargets } from './image-targets';
import { type InferredProject, nameImages, targetName } from './inferred-image';
import { initrdTarget, readInitrdFile } from './initrd-target';
import { mergeTarget } from './merge-target';
import { nxVersion, requireSupportedNx } from './nx-versions';
import { locatePlugin, type PluginPlace } from './plugin-inputs';
import { type PluginOptions, readPluginOptions } from './plugin-options';
import { type ProjectFiles, readProjectFiles } from './project-files';
import { workspaceNx } from './workspace-nx';

/**
 * An image's manifest is `igvm.json`, or `NAME.igvm.json` where a project has several. `initrd.json` says what an
 * initramfs is packed from.
 */
export const FILES_GLOB = '**/{igvm.json,*.igvm.json,initrd.json}';

type Targets = Record<string, TargetConfiguration>;

/** What one file adds to the project of its folder. */
interface Contribution {
  /** The project's name. */
  name: string;
  targets: Targets;
}

/** The project as a file sees it: the file's name for it counts where neither project.json nor package.json is there. */
const withName = (project: InferredProject, name = project.name): InferredProject =>
  project.files.name === undefined ? { ...project, name } : project;

const isInitrd = (path: string): boolean => basename(path) === 'initrd.json';

/** @param siblings all manifests of the folder, sorted; the first adds what they share */
function imageContribution(path: string, siblings: readonly string[], folder: InferredProject): Contribution {
  const manifest = readImageManifest(folder.workspaceRoot, path);
  const project = withName(folder, manifest.name);
  const images = nameImages(siblings);
  const names = images.find((image) => image.path === path)!;
  const shared = images.length > 1 && images[0] === names;
  const suffixes = images.map(({ suffix }) => suffix);
  const tested = shared ? images.filter((image) => isTested(image.path, project)).map(({ suffix }) => suffix) : [];
  return {
    name: project.name,
    targets: {
      ...imageTargets({
        ...names,
        project: { ...project, options: withImageName(project.options, names.name) },
        manifest,
      }),
      ...(shared ? togetherTargets(suffixes, tested, project.options) : {}),
    },
  };
}

/** Whether an image has a boot test; one whose manifest can't be read has none. */
function isTested(path: string, { workspaceRoot, options }: InferredProject): boolean {
  try {
    return hasBootTest(readImageManifest(workspaceRoot, path), options['boot-test']);
  } catch {
    return false;
  }
}

function initrdContribution(path: string, siblings: readonly string[], folder: InferredProject): Contribution {
  const initrd = readInitrdFile(folder.workspaceRoot, path);
  const project = withName(folder, initrd.name);
  // `build` is for the image, where there is one.
  const target = targetName('initrd', project.options, siblings.length === 0 ? 'build' : 'initrd');
  const targets: Targets = {};
  if (target !== undefined) {
    targets[target] = mergeTarget(initrdTarget(project, initrd, target), project.options.initrd);
  }
  return { name: project.name, targets };
}

/** A folder with files that contribute to its project. */
interface Folder {
  /** Sorted. */
  paths: string[];
  files: ProjectFiles;
}

function createNode(
  path: string,
  { paths, files }: Folder,
  fallbackName: string,
  options: PluginOptions,
  plugin: PluginPlace,
  { workspaceRoot, nxJsonConfiguration: nxJson }: CreateNodesContext,
): CreateNodesResult {
  const root = dirname(path);
  const project: InferredProject = {
    workspaceRoot,
    nxJson,
    options,
    plugin,
    files,
    root,
    name: files.name ?? fallbackName,
  };
  const contribute = isInitrd(path) ? initrdContribution : imageContribution;
  const manifests = paths.filter((other) => !isInitrd(other));
  const { name, targets } = contribute(path, manifests, project);
  // Nx joins the lists of several contributions: what is the same in all comes from one.
  const technologies = paths[0] === path ? { technologies: ['igvm'] } : {};
  return {
    projects: {
      [root]: {
        root,
        ...(files.name === undefined ? { name } : {}),
        targets,
        metadata: { ...technologies, targetGroups: { IGVM: Object.keys(targets) } },
      },
    },
  };
}

function byFolder(paths: readonly string[], workspaceRoot: string): Map<string, Folder> {
  const folders = new Map<string, Folder>();
  for (const path of paths) {
    const root = dirname(path);
    const folder = folders.get(root);
    if (folder === undefined) folders.set(root, { paths: [path], files: readProjectFiles(join(workspaceRoot, root)) });
    else folder.paths.push(path);
  }
  return folders;
}

/**
 * Names for projects that have none: that of the folder, or where several folders are called alike the whole path. Two
 * projects of one name would fail every command.
 */
function fallbackNames(folders: ReadonlyMap<string, Folder>): (root: string) => string {
  const counts = new Map<string, number>();
  for (const [root, { files }] of folders) {
    if (files.name === undefined) counts.set(basename(root), (counts.get(basename(root)) ?? 0) + 1);
  }
  return (root) => {
    if (root === '.') return 'image';
    return (counts.get(basename(root)) ?? 0) > 1 ? root.replaceAll('/', '-') : basename(root);
  };
}

/** What each file gives. One that is faulty doesn't take the others along, although Nx fails in the end. */
function nodesOf(
  paths: readonly string[],
  { workspaceRoot }: CreateNodesContext,
  create: (path: string) => CreateNodesResult,
): [string, CreateNodesResult][] {
  const nodes: [string, CreateNodesResult][] = [];
  const failures: [string, Error][] = [];
  for (const path of paths) {
    try {
      nodes.push([path, create(path)]);
    } catch (error) {
      failures.push([path, error as Error]);
    }
  }
  if (failures.length === 0) return nodes;
  const { AggregateCreateNodesError } = workspaceNx(workspaceRoot);
  throw new AggregateCreateNodesError(failures, nodes);
}

/** Infers the targets of every image and initramfs. Reads their JSON files, and nothing that these name. */
export const createNodes: CreateNodes<PluginOptions> = [
  FILES_GLOB,
  (paths, given, context) => {
    requireSupportedNx(nxVersion(context.workspaceRoot));
    const options = readPluginOptions(given, (message) => logger.warn(printable(message)));
    // Whatever order they come in, what they make of a project is the same.
    const sorted = [...paths].sort();
    const folders = byFolder(sorted, context.workspaceRoot);
    const nameOf = fallbackNames(folders);
    const plugin = locatePlugin(context.workspaceRoot);
    return nodesOf(sorted, context, (path) => {
      const root = dirname(path);
      return createNode(path, folders.get(root)!, nameOf(root), options, plugin, context);
    });
  },
];

/** The name that Nx 21 asks for. Later ones take either. */
export const createNodesV2 = createNodes;
