import { join, posix } from 'node:path';
import type { ProjectConfiguration } from '@nx/devkit';
import type { ManifestBuild } from '../../api';
import { imageNameInWorkspace, lockPath } from '../../manifest/image-files';

/** Options of a target that builds an image, tokens replaced. */
export type BuildOptions = Omit<ManifestBuild, 'output' | 'workspaceRoot'> & { outputPath?: string };

/** An image of the workspace and the lock that it has or may have. Paths are relative to the workspace. */
export interface LockedImage {
  /** `PROJECT:TARGET` of its build. */
  task: string;
  build: BuildOptions;
  image: string;
  lock: string;
}

/** The images that the workspace's targets build, by the names of their projects. */
export function lockedImages(projects: Readonly<Record<string, ProjectConfiguration>>): LockedImage[] {
  return Object.keys(projects)
    .sort()
    .flatMap((name) => imagesOf(name, projects[name]!));
}

function imagesOf(project: string, { root, targets = {} }: ProjectConfiguration): LockedImage[] {
  return Object.entries(targets).flatMap(([target, { executor, options }]): LockedImage[] => {
    if (executor !== 'nx-igvm:build') return [];
    const build = replaceTokens(options as Record<string, unknown>, root, project) as unknown as BuildOptions;
    if (typeof build.manifest !== 'string') return [];
    const folder = build.outputPath ?? posix.join('dist', posix.dirname(build.manifest));
    const image = posix.join(folder, `${imageNameInWorkspace(build.manifest)}.igvm`);
    const lock = lockOption(targets, image, root, project) ?? lockPath(build.manifest);
    return [{ task: `${project}:${target}`, build, image, lock }];
  });
}

/** The lock that a target of the project checks the image against, when that is another than the one beside the manifest. */
function lockOption(
  targets: NonNullable<ProjectConfiguration['targets']>,
  image: string,
  root: string,
  project: string,
): string | undefined {
  for (const { executor, options } of Object.values(targets)) {
    if (executor !== 'nx-igvm:verify') continue;
    const own = replaceTokens(options as Record<string, unknown>, root, project);
    if (typeof own.image === 'string' && join(own.image) === join(image) && typeof own.lock === 'string')
      return own.lock;
  }
  return undefined;
}

const replaceTokens = (options: Record<string, unknown> = {}, root: string, project: string): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(options).map(([name, value]) => [
      name,
      typeof value === 'string'
        ? value
            .replace(/^\{workspaceRoot\}\//, '')
            .replaceAll('{projectRoot}', root)
            .replaceAll('{projectName}', project)
        : value,
    ]),
  );
