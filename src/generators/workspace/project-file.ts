import {
  addProjectConfiguration,
  installPackagesTask,
  joinPathFragments,
  type GeneratorCallback,
  type TargetConfiguration,
  type Tree,
  writeJson,
} from '@nx/devkit';
import { addPackageFolder, packagePatterns } from './package-workspaces';
import type { ProjectLocation } from './project-location';

export interface ProjectFileOptions {
  /** project.json or a package.json with an `nx` block; by default whichever the workspace uses. */
  useProjectJson?: boolean;
  tags?: string[];
  targets?: Record<string, TargetConfiguration>;
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
  const { tags = [], targets = {} } = options;
  const useProjectJson = options.useProjectJson ?? packagePatterns(tree) === undefined;
  if (useProjectJson) {
    addProjectConfiguration(tree, name, { root, projectType: 'application', tags, targets });
    return undefined;
  }
  const hasTargets = Object.keys(targets).length > 0;
  writeJson(tree, joinPathFragments(root, 'package.json'), {
    name,
    version: '0.0.1',
    private: true,
    nx: { tags, ...(hasTargets ? { targets } : {}) },
  });
  addPackageFolder(tree, root);
  return () => {
    installPackagesTask(tree, true);
  };
}

/** Tags as a generator option holds them: separated by commas. */
export function parseTags(tags: string | undefined): string[] {
  return (tags ?? '')
    .split(',')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '');
}
