import { join, posix } from 'node:path';
import type { ProjectConfiguration, TargetConfiguration } from 'nx/src/devkit-exports';
import type { ManifestBuild } from '../../api';
import { imageNameInWorkspace, lockPath } from '../../manifest/image-files';
import { replaceTokens, type TokenProject } from '../../plugin/own-target';

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

function imagesOf(name: string, { root, targets = {} }: ProjectConfiguration): LockedImage[] {
  const project = { name, root };
  return Object.entries(targets).flatMap(([target, each]): LockedImage[] => {
    if (each.executor !== 'nx-igvm:build') return [];
    const build = optionsOf(each, project) as unknown as BuildOptions;
    if (typeof build.manifest !== 'string') return [];
    const folder = build.outputPath ?? posix.join('dist', posix.dirname(build.manifest));
    const image = posix.join(folder, `${imageNameInWorkspace(build.manifest)}.igvm`);
    const lock = lockOption(targets, image, project) ?? lockPath(build.manifest);
    return [{ task: `${name}:${target}`, build, image, lock }];
  });
}

/** The lock that a target of the project checks the image against, when that is another than the one beside the manifest. */
function lockOption(
  targets: NonNullable<ProjectConfiguration['targets']>,
  image: string,
  project: TokenProject,
): string | undefined {
  for (const target of Object.values(targets)) {
    if (target.executor !== 'nx-igvm:verify') continue;
    const own = optionsOf(target, project);
    if (typeof own.image === 'string' && join(own.image) === join(image) && typeof own.lock === 'string')
      return own.lock;
  }
  return undefined;
}

/** A target's options as a run has them that names no configuration. */
function optionsOf(target: TargetConfiguration, project: TokenProject): Record<string, unknown> {
  const { options, configurations, defaultConfiguration } = target;
  const configured = defaultConfiguration === undefined ? {} : configurations?.[defaultConfiguration];
  const all = Object.entries({ ...options, ...configured } as Record<string, unknown>);
  return Object.fromEntries(
    all.map(([key, value]) => [key, typeof value === 'string' ? replaceTokens(value, project) : value]),
  );
}
