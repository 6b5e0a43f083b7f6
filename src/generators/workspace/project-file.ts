import {
  addProjectConfiguration,
  joinPathFragments,
  type GeneratorCallback,
  type Tree,
  updateJson,
  writeJson,
} from 'nx/src/devkit-exports';
import { installPackages } from './install-packages';
import { addPackageFolder, packagePatterns } from './package-workspaces';
import type { ProjectLocation } from './project-location';

export interface ProjectFileOptions {
  /** project.json or a package.json with an `nx` block; by default whichever the workspace uses. */
  useProjectJson?: boolean;
  tags?: string[];
}

/**
 * Writes the file that makes a folder an Nx project. A package of the workspace has to be linked by the package manager,
 * which the callback does.
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
  // One without a name makes no project, but may hold scripts and dependencies.
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

/** Tags as a generator option holds them: separated by commas. */
export function parseTags(tags: string | undefined): string[] {
  return (tags ?? '')
    .split(',')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '');
}
