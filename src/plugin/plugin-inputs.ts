import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { TargetConfiguration } from '@nx/devkit';
import { encodeRequests, type HashRequest } from './hash-files';
import { PACKAGE_NAME, PACKAGE_ROOT, toSlashes } from './package';
import { escapeGlob, inWorkspace } from './resource-inputs';

type Inputs = NonNullable<TargetConfiguration['inputs']>;

/** Where the plugin is, seen from a workspace. The same for all targets. */
export interface PluginPlace {
  /** Inputs that change when the plugin does. */
  inputs: Inputs;
  requests: HashRequest[];
  /** Path of the hashing script, relative to the workspace so that clones share their hits. */
  script: string;
}

/** Whether the workspace's package.json names the plugin as something that is installed from elsewhere. */
function isListed(workspaceRoot: string): boolean {
  try {
    const manifest = JSON.parse(readFileSync(join(workspaceRoot, 'package.json'), 'utf8')) as Record<string, unknown>;
    const groups = ['dependencies', 'devDependencies', 'optionalDependencies'] as const;
    const version = groups
      .map((group) => (manifest[group] as Record<string, unknown> | undefined)?.[PACKAGE_NAME])
      .find((found) => typeof found === 'string');
    return typeof version === 'string' && !/^(?:workspace|link|portal):/.test(version);
  } catch {
    return false;
  }
}

function scriptPath(workspaceRoot: string): string {
  const installed = join(workspaceRoot, 'node_modules', PACKAGE_NAME);
  const root = existsSync(join(installed, 'package.json')) ? installed : PACKAGE_ROOT;
  return toSlashes(relative(workspaceRoot, join(root, 'dist', 'plugin', 'hash-files.js')));
}

/**
 * How a change of the plugin itself is seen. An installed package is an external dependency; Nx refuses to run with one
 * that it doesn't know, so a linked package is a set of files.
 */
export function locatePlugin(workspaceRoot: string): PluginPlace {
  const script = scriptPath(workspaceRoot);
  const real = realpathSync(PACKAGE_ROOT);
  if (/[\\/]node_modules[\\/]nx-igvm$/.test(real) && isListed(workspaceRoot)) {
    return { inputs: [{ externalDependencies: [PACKAGE_NAME] }], requests: [], script };
  }
  // Without this list every installed package would be an input.
  const none = { externalDependencies: [] };
  const inside = inWorkspace(realpathSync(workspaceRoot), real);
  if (inside === undefined) {
    const tree = toSlashes(relative(workspaceRoot, join(PACKAGE_ROOT, 'dist')));
    return { inputs: [none], requests: [{ tree }], script };
  }
  const files = `{workspaceRoot}/${inside === '' ? '' : `${escapeGlob(inside)}/`}dist/**/*.js`;
  return { inputs: [none, { fileset: files, includeIgnored: true }], requests: [], script };
}

/** The `runtime` input that hashes what Nx can't track. File names never come near a shell. */
export function runtimeInput(place: PluginPlace, requests: readonly HashRequest[]): Inputs {
  return requests.length === 0 ? [] : [{ runtime: `node ${place.script} ${encodeRequests(requests)}` }];
}
