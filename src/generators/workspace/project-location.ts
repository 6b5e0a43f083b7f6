import { posix } from 'node:path';
import {
  addProjectConfiguration,
  type GeneratorCallback,
  getProjects,
  joinPathFragments,
  normalizePath,
  readJson,
  type Tree,
  updateJson,
  writeJson,
} from 'nx/src/devkit-exports';
import { IgvmError } from '../../errors/igvm-error';
import { PROJECT_NAME, PROJECT_NAME_RULE } from '../../manifest/image-files';
import { addPackageFolder, defaultParent, installPackages, packagePatterns } from './install-packages';

/** The place of a generated project. */
export interface ProjectLocation {
  /** The Nx project's name. */
  name: string;
  /** The folder relative to the workspace's root, with `/` as separator and without a trailing one. */
  root: string;
}

/**
 * The name and folder of a project to be generated. `name` may be a path, whose last part is then the name. Without `directory`, the
 * project gets a folder of its name, in the workspace's folder for packages.
 * @throws IgvmError GENERATOR_OPTION, GENERATOR_CONFLICT
 */
export function locateProject(tree: Tree, options: { name: string; directory?: string }): ProjectLocation {
  const given = normalizePath(options.name).replace(/\/+$/, '');
  const isPath = given.includes('/') && !given.startsWith('@');
  const name = isPath ? given.slice(given.lastIndexOf('/') + 1) : given;
  if (!PROJECT_NAME.test(name)) {
    const message = `"${options.name}" can't name a project: ${PROJECT_NAME_RULE}`;
    throw new IgvmError('GENERATOR_OPTION', message, {}, { saysAll: true });
  }
  const folder = name.slice(name.lastIndexOf('/') + 1);
  const root = cleanDirectory(options.directory ?? (isPath ? given : joinPathFragments(defaultParent(tree), folder)));
  const taken = getProjects(tree).get(name);
  if (taken !== undefined && taken.root !== root) {
    throw new IgvmError('GENERATOR_CONFLICT', `the project ${name} already exists`, { file: taken.root });
  }
  return { name, root };
}

/** The relative path from a folder up to the workspace's root, with a trailing `/`. */
export const offsetFromRoot = (root: string): string =>
  root
    .split('/')
    .map(() => '../')
    .join('');

/** @throws IgvmError GENERATOR_CONFLICT */
export function requireFree(tree: Tree, path: string): void {
  if (tree.exists(path)) {
    throw new IgvmError('GENERATOR_CONFLICT', 'this file already exists', { file: path });
  }
}

/**
 * The existing project of the folder, from its project.json or package.json. If project.json has no name, Nx uses that of package.json,
 * or the folder's in lower case.
 */
export function existingProjectName(tree: Tree, root: string): string | undefined {
  const read = (file: string): { name?: unknown; nx?: { name?: unknown } } | undefined => {
    const path = joinPathFragments(root, file);
    return tree.exists(path) ? readJson<object>(tree, path) : undefined;
  };
  const [project, manifest] = [read('project.json'), read('package.json')];
  const name = [project?.name, manifest?.nx?.name, manifest?.name].find((each) => typeof each === 'string');
  return name ?? (project === undefined ? undefined : posix.basename(root).toLowerCase());
}

function cleanDirectory(directory: string): string {
  const root = joinPathFragments(normalizePath(directory)).replace(/^(?:\.\/)+|\/+$/g, '');
  if (root === '.' || root === '') {
    throw new IgvmError('GENERATOR_OPTION', 'an image needs a folder of its own, not the workspace root');
  }
  if (root.startsWith('../') || root === '..' || root.startsWith('/') || /^[A-Za-z]:/.test(root)) {
    throw new IgvmError('GENERATOR_OPTION', `"${directory}" is not a folder below the workspace root`);
  }
  return root;
}

export interface ProjectFileOptions {
  /** Whether to write a project.json or a package.json with an `nx` block. Default: whichever the workspace uses. */
  useProjectJson?: boolean;
  tags?: string[];
}

/**
 * Writes the file that makes a folder an Nx project. The callback has the package manager link a new package of the workspace.
 */
export function writeProjectFile(
  tree: Tree,
  { name, root }: ProjectLocation,
  options: ProjectFileOptions,
): GeneratorCallback | undefined {
  const { tags = [] } = options;
  const useProjectJson = options.useProjectJson ?? packagePatterns(tree) === undefined;
  if (useProjectJson) {
    addProjectConfiguration(tree, name, { root, projectType: 'application', tags, targets: {} });
    return undefined;
  }
  const path = joinPathFragments(root, 'package.json');
  const content = { name, version: '0.0.1', private: true, nx: { tags } };
  // A package.json without a name makes no project, but may contain scripts and dependencies.
  if (tree.exists(path)) {
    updateJson(tree, path, (present: { nx?: object }) => ({ ...content, ...present, nx: { tags, ...present.nx } }));
  } else {
    writeJson(tree, path, content);
  }
  addPackageFolder(tree, root);
  return () => {
    installPackages(tree);
  };
}

/** Parses tags in a generator's option: separated by commas. */
export function parseTags(tags: string | undefined): string[] {
  return (tags ?? '')
    .split(',')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '');
}
