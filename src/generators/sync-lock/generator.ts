import { resolve } from 'node:path';
import type { GeneratorCallback, ProjectConfiguration, Tree } from 'nx/src/devkit-exports';
import { IgvmError } from '../../errors/igvm-error';
import { printable } from '../../errors/printable';
import { logger, workspaceNx } from '../../plugin/workspace-nx';
import { reportingUserErrors } from '../workspace/user-errors';
import { isCurrent } from './is-current';
import { lockedImages } from './locked-images';

/** What Nx says when it finds the workspace out of sync. */
export interface SyncResult {
  outOfSyncMessage?: string;
}

/**
 * Brings the locks of the workspace up to date with their images. Nx calls it in two ways: `nx sync` without options, and takes an
 * object; `nx g` with options, and calls what it gets when the files are written.
 */
export default async function syncLockGenerator(tree: Tree, options?: object): Promise<SyncResult | GeneratorCallback> {
  const result = await syncWorkspace(tree);
  if (options === undefined) return result;
  return () => logger.info(result.outOfSyncMessage ?? 'All locks agree with their images');
}

async function syncWorkspace(tree: Tree): Promise<SyncResult> {
  const { nodes } = await workspaceNx(tree.root).createProjectGraphAsync();
  const projects = Object.fromEntries(Object.entries(nodes).map(([name, { data }]) => [name, data]));
  return syncLocks(tree, projects);
}

/**
 * The same for projects at hand. Nothing is changed unless all images with a lock are current.
 * @throws Error with a user's mistake as its message: BUILD_FIRST, and what keeps an image from being built or measured
 */
export function syncLocks(tree: Tree, projects: Readonly<Record<string, ProjectConfiguration>>): Promise<SyncResult> {
  return reportingUserErrors(async () => {
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
      outOfSyncMessage: `Images measure differently than their locks say: ${[...changes.keys()].map(printable).join(', ')}`,
    };
  });
}
