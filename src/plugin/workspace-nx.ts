import { readFileSync, utimesSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type * as Nx from 'nx/src/devkit-exports';
import pc from 'picocolors';
import { IgvmError } from '../errors/igvm-error';

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

/** The oldest Nx that the plugin works with. */
export const OLDEST_NX = '21.0.0';

/** What not every supported Nx has. Everything else is the same in all of them. */
export interface NxFeatures {
  /** The version of the workspace's Nx. */
  readonly version: string;
  /**
   * Whether `{ "fileset": …, "includeIgnored": true }` sees files that git ignores. An older Nx takes the key without a word and
   * doesn't see them. Nx 23.3.
   */
  readonly includeIgnored: boolean;
  /** Whether `"..."` in a list stands for the inferred values. To an older Nx it is an invalid fileset. Nx 23. */
  readonly spread: boolean;
  /**
   * Whether a continuous task that ends by itself ends Nx as its process ended. Nx 21 says that it was interrupted, 22 that it failed, and 23 that it
   * succeeded, even when it failed. Nx 24.0.5.
   */
  readonly continuousResult: boolean;
  /**
   * Whether a task of a batch that reads what another task of the batch writes is hashed again when that is written. Before, its image is cached
   * under the hash of the older files. Nx 23; batches come by themselves from 22.6 on.
   */
  readonly batchHashes: boolean;
  /**
   * Whether the daemon writes each new project graph to the file from which tasks read it. Nx 22.6 and 22.7 leave out those that a
   * change of a file brought about. Nx 23.
   */
  readonly graphWritten: boolean;
}

/** The version that each feature came with. */
const SINCE = {
  includeIgnored: '23.3.0',
  spread: '23.0.0',
  continuousResult: '24.0.5',
  batchHashes: '23.0.0',
  graphWritten: '23.0.0',
} as const satisfies Record<Exclude<keyof NxFeatures, 'version'>, string>;

/** Major, minor and patch. What comes before a release, like 23.3.0-beta.1, may not have yet what the release has. */
function numbersOf(version: string): number[] {
  const [, major, minor, patch, before] = /^(\d+)\.(\d+)\.(\d+)(-)?/.exec(version) ?? [];
  return [Number(major), Number(minor), Number(patch) - (before === undefined ? 0 : 0.5)];
}

/** Whether a version is at least another. False for what is no version. */
export function isAtLeast(version: string, least: string): boolean {
  const numbers = numbersOf(version);
  const others = numbersOf(least);
  const index = numbers.findIndex((number, at) => number !== others[at]);
  return index === -1 || numbers[index]! > others[index]!;
}

/** What an Nx of a version has. */
export function featuresOf(version: string): NxFeatures {
  const has = Object.entries(SINCE).map(([feature, since]) => [feature, isAtLeast(version, since)]);
  return { version, ...(Object.fromEntries(has) as Record<keyof typeof SINCE, boolean>) };
}

const known = new Map<string, string>();

/**
 * The version of the Nx that a workspace runs.
 * @throws IgvmError NX_VERSION_UNSUPPORTED when there is none
 */
export function nxVersion(workspaceRoot: string): string {
  const found = known.get(workspaceRoot) ?? readVersion(workspaceRoot);
  known.set(workspaceRoot, found);
  return found;
}

function readVersion(workspaceRoot: string): string {
  try {
    const path = resolveNx(workspaceRoot, 'nx/package.json');
    return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
  } catch {
    throw new IgvmError('NX_VERSION_UNSUPPORTED', 'nx-igvm finds no Nx in this workspace');
  }
}

/** What the Nx of a workspace has. */
export const nxFeatures = (workspaceRoot: string): NxFeatures => featuresOf(nxVersion(workspaceRoot));

/**
 * Has the daemon write the project graph that it is making. Nx 22.6 and 22.7 only write one that a command waits for, and otherwise when
 * somebody else has written the file since: without this, a task runs with the options of an older graph, or finds no project.
 */
export function haveGraphWritten(workspaceRoot: string): void {
  if (nxFeatures(workspaceRoot).graphWritten) return;
  try {
    const cache = createRequire(__filename)(resolveNx(workspaceRoot, 'nx/src/utils/cache-directory')) as {
      workspaceDataDirectory: string;
    };
    const now = new Date();
    utimesSync(join(cache.workspaceDataDirectory, 'project-graph.json'), now, now);
  } catch {
    // There is none yet: then it will be written.
  }
}

/** @throws IgvmError NX_VERSION_UNSUPPORTED for an Nx that is older than the plugin supports */
export function requireSupportedNx(version: string): void {
  if (!isAtLeast(version, OLDEST_NX)) {
    const [oldest] = OLDEST_NX.split('.');
    throw new IgvmError('NX_VERSION_UNSUPPORTED', `nx-igvm needs Nx ${oldest} or newer, this workspace has ${version}`);
  }
}

/** Prints as Nx's own logger does, which takes a tenth of a second to load. */
export const logger = {
  info: (text: string): void => console.info(text),
  warn: (text: string): void => console.warn(pc.bold(pc.yellow(text))),
  error: (text: string): void => console.error(pc.bold(pc.red(text))),
};
