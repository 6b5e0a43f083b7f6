import { createRequire } from 'node:module';
import { join } from 'node:path';
import type * as Nx from 'nx/src/devkit-exports';

/**
 * The workspace's own nx: where its wrapper installs below `.nx`, too. A package manager may give a plugin another one, and a plugin that
 * is linked into a workspace has that of its own repository; its version, its native code and its project graph would be the wrong ones.
 * Where a folder has none (a test's), it is the one that this package finds.
 * @param request a module of the package nx
 * @throws an error of Node's when there is no nx
 */
export function resolveNx(workspaceRoot: string, request: string): string {
  for (const folder of [workspaceRoot, join(workspaceRoot, '.nx', 'installation')]) {
    try {
      return createRequire(join(folder, 'package.json')).resolve(request);
    } catch {
      // Not here.
    }
  }
  return require.resolve(request);
}

/** What nx has for plugins. It takes long to load: not at the top of a file. */
export function workspaceNx(workspaceRoot: string): typeof Nx {
  return createRequire(__filename)(resolveNx(workspaceRoot, 'nx/src/devkit-exports')) as typeof Nx;
}
