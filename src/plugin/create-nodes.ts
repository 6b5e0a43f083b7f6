import { basename, dirname, join } from 'node:path';
import type { CreateNodes, CreateNodesContext, CreateNodesResult, TargetConfiguration } from 'nx/src/devkit-exports';
import { formatPlaced, type IgvmError } from '../errors/igvm-error';
import { printable } from '../errors/printable';
import { type Json, PROJECT_NAME, PROJECT_NAME_RULE } from '../manifest/image-files';
import {
  GROUP_EXECUTOR,
  hasBootTest,
  hasUrls,
  IMAGE_TARGETS,
  INITRD_EXECUTOR,
  initrdTarget,
  readAnyInitrdFile,
  togetherTargets,
} from './inferred-targets';
import { inferImage, type InferredProject, nameImages, readAnyManifest } from './inferred-image';
import {
  mergeTarget,
  ownTarget,
  type OwnTarget,
  type PluginOptions,
  type ProjectFiles,
  readPluginOptions,
  readProjectFiles,
  TARGET_KINDS,
  targetName,
  type TargetOption,
  withImageName,
} from './configuration';
import { featuresOf, locatePlugin, logger, nxVersion, requireSupportedNx, workspaceNx } from './workspace-nx';
import type { Inputs } from './tracked-inputs';
import { adaptTarget } from './effective-target';

/**
 * An image's manifest is `igvm.json`, or `NAME.igvm.json` in a project with several images. `initrd.json` describes an
 * initramfs.
 */
export const FILES_GLOB = '**/{igvm.json,*.igvm.json,initrd.json}';

type Targets = Record<string, TargetConfiguration>;

/** The contribution of one file to the project of its folder. */
interface Contribution {
  /** The project's name. */
  name: string;
  targets: Targets;
  /** Named inputs of the project, see {@link adaptTarget}. */
  named: { name: string; inputs: Inputs }[];
  warnings: string[];
}

/** The project with the name that a file gives it. The name only counts if there is neither a project.json nor a package.json. */
const withName = (project: InferredProject, name = project.name): InferredProject =>
  project.files.name === undefined ? { ...project, name } : project;

/** The error in a file, with line and column. Its targets fail with the same error, without affecting other files. */
const unreadWarnings = (unread: IgvmError | undefined): string[] =>
  unread === undefined ? [] : [formatPlaced(unread.message, unread.where)];

/** The name that a file gives its project. Nx accepts any name and shows it everywhere, so it must be one that generators accept. */
function nameOf({ path, name }: { path: string; name?: string }, warnings: string[]): string | undefined {
  if (name === undefined || PROJECT_NAME.test(name)) return name;
  warnings.push(`${path}: the name "${name.slice(0, 100)}" is ignored: ${PROJECT_NAME_RULE}`);
  return undefined;
}

const isInitrd = (path: string): boolean => basename(path) === 'initrd.json';

/** Adds a target with the user's configuration of it. */
function addTarget(
  to: Contribution,
  name: string,
  target: TargetConfiguration,
  own: OwnTarget,
  option: TargetOption | undefined,
  project: InferredProject,
  ownFolder: boolean,
): void {
  const adapted = adaptTarget(target, mergeTarget(target, option), own, project, name, ownFolder);
  to.targets[name] = adapted.target;
  if (adapted.named !== undefined) to.named.push(adapted.named);
  const file = `${project.root === '.' ? '' : `${project.root}/`}package.json`;
  const replacing = own.statements.some(({ stated }) => stated.executor !== undefined);
  if (project.files.hasScript(name) && !replacing) {
    to.warnings.push(
      `the script "${name}" of ${file} runs in place of the inferred target ${project.name}:${name}: rename one of them, ` +
        `or leave the script out of "nx.includedScripts" in that file`,
    );
  } else to.warnings.push(...adapted.warnings);
}

/** @param siblings all manifests of the folder, sorted. The first one adds the targets for all of them. */
function imageContribution(path: string, siblings: readonly string[], folder: InferredProject): Contribution {
  const manifest = readAnyManifest(folder.workspaceRoot, path);
  const warnings: string[] = unreadWarnings(manifest.unread);
  const project = withName(folder, nameOf(manifest, warnings));
  const images = nameImages(siblings);
  const names = images.find((image) => image.path === path)!;
  const shared = images.length > 1 && images[0] === names;
  const suffixes = images.map(({ suffix }) => suffix);
  const suffixesOf = (has: (path: string) => boolean): string[] =>
    images.filter((each) => shared && has(each.path)).map(({ suffix }) => suffix);
  const some = {
    'boot-test': suffixesOf((each) => isTested(each, project)),
    fetch: suffixesOf((each) => hasUrls(readAnyManifest(project.workspaceRoot, each))),
  };
  const options = withImageName(project.options, names.name);
  const image = inferImage(names, { ...project, options }, manifest);
  const result: Contribution = { name: project.name, targets: {}, named: [], warnings };
  for (const kind of TARGET_KINDS) {
    const name = targetName(kind, options);
    if (kind === 'initrd' || name === undefined) continue;
    const { executor, create } = IMAGE_TARGETS[kind];
    const target = `${name}${names.suffix}`;
    const own = ownTarget(kind, executor, target, image.project);
    const configuration = create(image, own);
    if (configuration === undefined) continue;
    addTarget(result, target, configuration, own, options[kind], image.project, images.length === 1);
  }
  if (!shared) return result;
  for (const [name, target] of Object.entries(togetherTargets(suffixes, some, project.options))) {
    const own = ownTarget(undefined, GROUP_EXECUTOR, name, project);
    addTarget(result, name, target, own, undefined, project, true);
  }
  return result;
}

/** Whether an image has a boot test; one whose manifest can't be read has none. */
function isTested(path: string, { workspaceRoot, options }: InferredProject): boolean {
  return hasBootTest(readAnyManifest(workspaceRoot, path), options['boot-test']);
}

function initrdContribution(path: string, siblings: readonly string[], folder: InferredProject): Contribution {
  const initrd = readAnyInitrdFile(folder.workspaceRoot, path);
  const warnings: string[] = unreadWarnings(initrd.unread);
  const project = withName(folder, nameOf(initrd, warnings));
  const result: Contribution = { name: project.name, targets: {}, named: [], warnings };
  // If there is an image, `build` is its target.
  const name = targetName('initrd', project.options, siblings.length === 0 ? 'build' : 'initrd');
  if (name === undefined) return result;
  const own = ownTarget('initrd', INITRD_EXECUTOR, name, project);
  const target = initrdTarget(project, initrd, own);
  addTarget(result, name, target, own, project.options.initrd, project, siblings.length === 0);
  return result;
}

const contributionOf = (path: string, manifests: readonly string[], project: InferredProject): Contribution =>
  (isInitrd(path) ? initrdContribution : imageContribution)(path, manifests, project);

/** The named inputs that the files of a folder need. Each has the inputs of all files, because Nx keeps one definition of a name. */
function namedInputsOf(paths: readonly string[], manifests: readonly string[], project: InferredProject): Json {
  const named: Record<string, Inputs> = {};
  for (const path of paths) {
    try {
      for (const { name, inputs } of contributionOf(path, manifests, project).named) {
        named[name] = [...(named[name] ?? []), ...inputs];
      }
    } catch {
      // The file's own contribution reports the error.
    }
  }
  return Object.keys(named).length === 0 ? {} : { namedInputs: named };
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
  workspace: Omit<InferredProject, 'files' | 'root' | 'name'>,
  warn: (text: string) => void,
): CreateNodesResult {
  const root = dirname(path);
  const project: InferredProject = { ...workspace, files, root, name: files.name ?? fallbackName };
  const manifests = paths.filter((other) => !isInitrd(other));
  const { name, targets, warnings } = contributionOf(path, manifests, project);
  for (const warning of warnings) warn(warning);
  const isFirst = paths[0] === path;
  // Nx concatenates the lists of several contributions, so values that are the same in all come from one of them.
  const technologies = isFirst ? { technologies: ['igvm'] } : {};
  return {
    projects: {
      [root]: {
        root,
        ...(files.name === undefined ? { name } : {}),
        ...(isFirst ? namedInputsOf(paths, manifests, project) : {}),
        targets,
        metadata: { ...technologies, targetGroups: { IGVM: Object.keys(targets) } },
      },
    },
  };
}

const warned = new Set<string>();

/** Warns once. Nx's daemon infers repeatedly, for days. */
function warnOnce(text: string): void {
  if (warned.has(text)) return;
  warned.add(text);
  logger.warn(printable(text));
}

function byFolder(paths: readonly string[], workspaceRoot: string): Map<string, Folder> {
  const folders = new Map<string, Folder>();
  for (const path of paths) {
    const root = dirname(path);
    const folder = folders.get(root);
    if (folder === undefined) {
      const files = readProjectFiles(join(workspaceRoot, root), root === '.' ? '' : `${root}/`);
      folders.set(root, { paths: [path], files });
    } else folder.paths.push(path);
  }
  return folders;
}

/**
 * Names for projects without one: the folder's name, or the whole path if several folders have the same name. Two projects with
 * the same name would fail every command.
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

/** The result for each file. A failure doesn't lose the results of other files, although Nx fails in the end. */
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

/**
 * Infers the targets of every image and initramfs. Reads only their JSON files, and resolves links to the files that they name.
 * @param warn takes warnings for the user
 */
export function inferTargets(
  paths: readonly string[],
  given: PluginOptions | undefined,
  context: CreateNodesContext,
  warn: (text: string) => void,
): [string, CreateNodesResult][] {
  const { workspaceRoot, nxJsonConfiguration: nxJson } = context;
  const version = nxVersion(workspaceRoot);
  requireSupportedNx(version);
  const options = readPluginOptions(given, warn);
  // The result must not depend on the order of the files.
  const sorted = [...paths].sort();
  const folders = byFolder(sorted, workspaceRoot);
  const nameOf = fallbackNames(folders);
  const place = { workspaceRoot, features: featuresOf(version), followsLinks: true };
  const workspace = { ...place, nxJson, options, plugin: locatePlugin(place) };
  return nodesOf(sorted, context, (path) => {
    const root = dirname(path);
    return createNode(path, folders.get(root)!, nameOf(root), workspace, warn);
  });
}

export const createNodes: CreateNodes<PluginOptions> = [
  FILES_GLOB,
  (paths, given, context) => inferTargets(paths, given, context, warnOnce),
];

/** The name that Nx 21 looks for. Later versions accept either. */
export const createNodesV2 = createNodes;
