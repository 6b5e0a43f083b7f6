import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, posix, resolve } from 'node:path';
import type { GeneratorCallback, ProjectConfiguration, TargetConfiguration, Tree } from 'nx/src/devkit-exports';
import type { ManifestBuild } from '../../api';
import { IgvmError } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import { programPath } from '../../files/find-program';
import { imageNameInWorkspace, lockPath } from '../../manifest/image-files';
import { replaceTokens, type TokenProject } from '../../plugin/configuration';
import { logger, workspaceNx } from '../../plugin/workspace-nx';
import { reportingUserErrors } from '../workspace/generate';

/** Nx's message when it finds the workspace out of sync. */
export interface SyncResult {
  outOfSyncMessage?: string;
}

/**
 * Updates the locks of the workspace to match their images. Nx calls it in two ways: `nx sync` passes no options and expects an object;
 * `nx g` passes options, and calls the result after writing the files.
 */
export default async function syncLockGenerator(tree: Tree, options?: object): Promise<SyncResult | GeneratorCallback> {
  const result = await syncWorkspace(tree);
  if (options === undefined) return result;
  return () => logger.info(result.outOfSyncMessage ?? 'All locks match their images');
}

async function syncWorkspace(tree: Tree): Promise<SyncResult> {
  const { nodes } = await workspaceNx(tree.root).createProjectGraphAsync();
  const projects = Object.fromEntries(Object.entries(nodes).map(([name, { data }]) => [name, data]));
  return syncLocks(tree, projects);
}

/**
 * Updates the locks of the given projects. Nothing is changed unless all images with a lock are up to date.
 * @throws Error whose message is a user's mistake: BUILD_FIRST, and anything that prevents building or measuring an image
 */
export function syncLocks(tree: Tree, projects: Readonly<Record<string, ProjectConfiguration>>): Promise<SyncResult> {
  return reportingUserErrors('sync-lock', async () => {
    const { changedLock } = require('../../api') as typeof import('../../api');
    const images = lockedImages(projects).filter(({ lock }) => tree.exists(lock));
    const stale: string[] = [];
    const changes = new Map<string, string>();
    for (const each of images) {
      if (!(await isCurrent(each, tree.root))) {
        stale.push(each.task);
        continue;
      }
      const text = await changedLock(resolve(tree.root, each.image), resolve(tree.root, each.lock), each.image);
      if (text !== undefined) changes.set(each.lock, text);
    }
    if (stale.length > 0) {
      const many = stale.length > 1;
      throw new IgvmError(
        'BUILD_FIRST',
        `build first: the ${many ? 'images' : 'image'} of ${stale.join(', ')} ${many ? 'are' : 'is'} not current`,
      );
    }
    for (const [lock, text] of changes) tree.write(lock, text);
    if (changes.size === 0) return {};
    return {
      outOfSyncMessage: `These locks don't match their images: ${[...changes.keys()].map(printable).join(', ')}`,
    };
  });
}

/** Options of a target that builds an image, tokens replaced. */
export type BuildOptions = Omit<ManifestBuild, 'output' | 'workspaceRoot'> & { outputPath?: string };

/** An image of the workspace, and its lock, which may not exist. Paths are relative to the workspace. */
export interface LockedImage {
  /** The target that builds it: `PROJECT:TARGET`. */
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

/** The lock against which a target of the project verifies the image, if it is not the one beside the manifest. */
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

/** A target's options in a run without a named configuration. */
function optionsOf(target: TargetConfiguration, project: TokenProject): Record<string, unknown> {
  const { options, configurations, defaultConfiguration } = target;
  const configured = defaultConfiguration === undefined ? {} : configurations?.[defaultConfiguration];
  const all = Object.entries({ ...options, ...configured } as Record<string, unknown>);
  return Object.fromEntries(
    all.map(([key, value]) => [key, typeof value === 'string' ? replaceTokens(value, project) : value]),
  );
}

/**
 * Whether an image matches its manifest and resources. It is built again elsewhere and compared. No record of a build's inputs would be
 * as reliable, and builds of the same files give the same bytes.
 * @throws IgvmError for anything that prevents building the image
 */
export async function isCurrent({ build, image }: LockedImage, root: string): Promise<boolean> {
  const { buildManifest, sha256OfFile } = require('../../api') as typeof import('../../api');
  const path = resolve(root, image);
  if (!existsSync(path)) return false;
  const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-sync-'));
  try {
    const output = join(folder, basename(image));
    const { manifest, resources, loader, outputPath: _, ...options } = build;
    const { files } = await buildManifest({
      ...options,
      manifest: resolve(root, manifest),
      resources: resources === undefined ? undefined : resolve(root, resources),
      loader: loader === undefined ? undefined : programPath(loader, root),
      output,
      workspaceRoot: root,
      display: (each) => (each === resolve(root, manifest) ? manifest : each),
    });
    const siblings = files.map(({ path: made }) => [made, join(path, '..', basename(made))] as const);
    return siblings.every(([made, present]) => existsSync(present) && sha256OfFile(made) === sha256OfFile(present));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
