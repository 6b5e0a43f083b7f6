import { existsSync, readFileSync, realpathSync, statSync, utimesSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { parse } from 'jsonc-parser';
import type * as Nx from 'nx/src/devkit-exports';
import pc from 'picocolors';
import { IgvmError } from '../errors/igvm-error';
import { readRegularFile } from '../files/regular-file';
import { asRecord } from '../manifest/image-files';
import type { HashRequest } from './hash-files';
import { escapeGlob, type Inputs, inWorkspace, type TrackingPlace, toSlashes } from './tracked-inputs';

/**
 * Resolves a module of the workspace's own nx, which may also be below `.nx`, where Nx's wrapper installs it. A package manager may give
 * a plugin another copy, and a linked plugin finds that of its own repository. Its version, native code and project graph would be wrong.
 * In a folder without nx, as in tests, this package's copy is used.
 * @param request a module of the package nx
 * @throws Node's error if there is no nx
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

/** Nx's API for plugins. It loads slowly, so don't load it at the top of a file. */
export function workspaceNx(workspaceRoot: string): typeof Nx {
  return createRequire(__filename)(resolveNx(workspaceRoot, 'nx/src/devkit-exports')) as typeof Nx;
}

/** The oldest supported version of Nx. */
export const OLDEST_NX = '21.0.0';

/** Features that not every supported version of Nx has. */
export interface NxFeatures {
  /** The version of the workspace's Nx. */
  readonly version: string;
  /**
   * Whether `{ "fileset": …, "includeIgnored": true }` includes files that git ignores. An older Nx accepts the key and silently
   * ignores it. Since Nx 23.3.
   */
  readonly includeIgnored: boolean;
  /** Whether `"..."` in a list stands for the inferred values. To an older Nx, it is an invalid fileset. Since Nx 23. */
  readonly spread: boolean;
  /**
   * Whether a continuous task that ends by itself has the result of its process. Nx 21 reports an interruption, 22 a failure, and 23 a
   * success even if it failed. Since Nx 24.0.5.
   */
  readonly continuousResult: boolean;
  /**
   * Whether a task that reads the output of another task of its batch is hashed again when that output has been written. Otherwise its
   * image is cached under the hash of the older files. Since Nx 23. Nx runs batches by default since 22.6.
   */
  readonly batchHashes: boolean;
  /**
   * Whether the daemon writes each new project graph to the file from which tasks read it. Nx 22.6 and 22.7 don't write one that follows
   * a change of a file. Since Nx 23.
   */
  readonly graphWritten: boolean;
}

/** The first version with each feature. */
const SINCE = {
  includeIgnored: '23.3.0',
  spread: '23.0.0',
  continuousResult: '24.0.5',
  batchHashes: '23.0.0',
  graphWritten: '23.0.0',
} as const satisfies Record<Exclude<keyof NxFeatures, 'version'>, string>;

/** Major, minor and patch. A prerelease such as 23.3.0-beta.1 counts as older than its release, whose features it may lack. */
function numbersOf(version: string): number[] {
  const [, major, minor, patch, before] = /^(\d+)\.(\d+)\.(\d+)(-)?/.exec(version) ?? [];
  return [Number(major), Number(minor), Number(patch) - (before === undefined ? 0 : 0.5)];
}

/** Whether a version is at least another one. False for text that is not a version. */
export function isAtLeast(version: string, least: string): boolean {
  const numbers = numbersOf(version);
  const others = numbersOf(least);
  const index = numbers.findIndex((number, at) => number !== others[at]);
  return index === -1 || numbers[index]! > others[index]!;
}

/** The features of a version of Nx. */
export function featuresOf(version: string): NxFeatures {
  const has = Object.entries(SINCE).map(([feature, since]) => [feature, isAtLeast(version, since)]);
  return { version, ...(Object.fromEntries(has) as Record<keyof typeof SINCE, boolean>) };
}

const versions = new Map<string, string>();

/**
 * The version of the Nx that a workspace runs.
 * @throws IgvmError NX_VERSION_UNSUPPORTED when there is none
 */
export function nxVersion(workspaceRoot: string): string {
  const found = versions.get(workspaceRoot) ?? readVersion(workspaceRoot);
  versions.set(workspaceRoot, found);
  return found;
}

function readVersion(workspaceRoot: string): string {
  try {
    const path = resolveNx(workspaceRoot, 'nx/package.json');
    return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
  } catch {
    throw new IgvmError('NX_VERSION_UNSUPPORTED', "nx-igvm can't find Nx in this workspace");
  }
}

/** The features of a workspace's Nx. */
export const nxFeatures = (workspaceRoot: string): NxFeatures => featuresOf(nxVersion(workspaceRoot));

/**
 * Makes the daemon write the project graph that it is computing. Nx 22.6 and 22.7 write one only when a command waits for it, or when
 * the file has changed since. Without this, a task could run with the options of an older graph, or find no project.
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
    // There is none yet, so the daemon will write it.
  }
}

/** @throws IgvmError NX_VERSION_UNSUPPORTED for an Nx that is older than the plugin supports */
export function requireSupportedNx(version: string): void {
  if (!isAtLeast(version, OLDEST_NX)) {
    const [oldest] = OLDEST_NX.split('.');
    throw new IgvmError('NX_VERSION_UNSUPPORTED', `nx-igvm needs Nx ${oldest} or newer, this workspace has ${version}`);
  }
}

/** Prints like Nx's own logger, which takes a tenth of a second to load. */
export const logger = {
  info: (text: string): void => console.info(text),
  warn: (text: string): void => console.warn(pc.bold(pc.yellow(text))),
  error: (text: string): void => console.error(pc.bold(pc.red(text))),
};

/** The name of the package, as users write it in nx.json. */
export const PACKAGE_NAME = 'nx-igvm';

/** The folder of this package's package.json: two above `dist/plugin`. */
export const PACKAGE_ROOT = join(__dirname, '..', '..');

/** How the targets of a workspace depend on the plugin. The same for all targets. */
export interface PluginPlace {
  /** Inputs that change when the plugin does. */
  inputs: Inputs;
  requests: HashRequest[];
  /** Path of the hashing script, relative to the workspace so that clones share their hits. */
  script: string;
}

/** Bytes. The lockfile of a very large workspace has tens of megabytes. */
const LOCKFILE_LIMIT = 2 ** 28;

/** npm: a record of folders. To Nx, a linked package is a project of the workspace. */
function isInNpmLock(text: string): boolean {
  // Most lockfiles are large and don't contain the package. Don't parse those.
  if (!text.includes(`"${PACKAGE_NAME}"`) && !text.includes(`/${PACKAGE_NAME}"`)) return false;
  const { packages, dependencies } = asRecord(JSON.parse(text));
  const entry = asRecord(packages)[`node_modules/${PACKAGE_NAME}`] ?? asRecord(dependencies)[PACKAGE_NAME];
  return entry !== undefined && asRecord(entry)['link'] !== true;
}

/** The lines below a top-level key of YAML. */
function yamlBlock(text: string, key: string): string[] {
  const [, block = ''] = new RegExp(`^${key}:[^\\n]*\\n((?:[ \\r\\n][^\\n]*(?:\\n|$)|\\n)*)`, 'm').exec(text) ?? [];
  return block.split(/\r?\n/);
}

/** pnpm: `packages` has `nx-igvm@VERSION`; older versions of the format have `/nx-igvm@VERSION` or `/nx-igvm/VERSION`. */
const isInPnpmLock = (text: string): boolean =>
  yamlBlock(text, 'packages').some((line) => /^ {2}['"]?\/?nx-igvm[@/][^:]/.test(line));

/** yarn: each entry begins with the ranges that it resolves. `workspace:` means a project of the workspace. */
const isInYarnLock = (text: string): boolean =>
  text
    .split('\n')
    .filter((line) => /^\S.*:\s*$/.test(line) && !line.startsWith('#'))
    .some((line) => line.split(',').some((range) => /^\s*"?nx-igvm@(?!workspace:)/.test(range)));

/** bun: `packages` has the name with a list that begins with `nx-igvm@VERSION`. Nx doesn't know packages from a tarball or folder. */
function isInBunLock(text: string): boolean {
  const entry = asRecord(asRecord(parse(text) as unknown)['packages'])[PACKAGE_NAME];
  return Array.isArray(entry) && /^nx-igvm@\d/.test(String(entry[0]));
}

/**
 * The lockfiles of the package managers, in the order in which Nx looks for them. The first that exists counts. Only bun can read the
 * binary lockfile of its old versions; with it, the plugin's files are tracked instead.
 */
const LOCKFILES: readonly (readonly [file: string, has: (text: string) => boolean])[] = [
  ['bun.lockb', () => false],
  ['bun.lock', isInBunLock],
  ['yarn.lock', isInYarnLock],
  ['pnpm-lock.yaml', isInPnpmLock],
  ['package-lock.json', isInNpmLock],
];

/** Answers by the path and attributes of a lockfile. Nx's daemon asks repeatedly. */
const lockAnswers = new Map<string, boolean>();

/** Whether Nx knows the plugin as a package. It reads packages from the lockfile of the package manager in use. */
function isLocked(workspaceRoot: string): boolean {
  for (const [file, has] of LOCKFILES) {
    const path = join(workspaceRoot, file);
    const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (stats === undefined) continue;
    const state = [path, stats.size, stats.mtimeNs, stats.ctimeNs, stats.ino].join(':');
    const answer = lockAnswers.get(state) ?? readLock(workspaceRoot, path, has);
    lockAnswers.clear();
    lockAnswers.set(state, answer);
    return answer;
  }
  return false;
}

function readLock(workspaceRoot: string, path: string, has: (text: string) => boolean): boolean {
  try {
    return has(readRegularFile(path, { limit: LOCKFILE_LIMIT, within: workspaceRoot }).toString());
  } catch {
    // Nx reads it too, and reports what is wrong.
    return false;
  }
}

function scriptPath(workspaceRoot: string, packageRoot: string): string {
  const installed = join(workspaceRoot, 'node_modules', PACKAGE_NAME);
  const root = existsSync(join(installed, 'package.json')) ? installed : packageRoot;
  return toSlashes(relative(workspaceRoot, join(root, 'dist', 'plugin', 'hash-files.js')));
}

/**
 * Finds out how targets track changes of the plugin itself. An installed package is an external dependency. Nx refuses to run with an
 * unknown one, so a linked package is tracked by its files.
 * @param packageRoot folder of this package
 */
export function locatePlugin({ workspaceRoot, features }: TrackingPlace, packageRoot = PACKAGE_ROOT): PluginPlace {
  const script = scriptPath(workspaceRoot, packageRoot);
  const real = realpathSync(packageRoot);
  if (/[\\/]node_modules[\\/]nx-igvm$/.test(real) && isLocked(workspaceRoot)) {
    return { inputs: [{ externalDependencies: [PACKAGE_NAME] }], requests: [], script };
  }
  // Without this list, every installed package would be an input.
  const none = { externalDependencies: [] };
  const inside = inWorkspace(realpathSync(workspaceRoot), real);
  if (inside === undefined || !features.includeIgnored) {
    const tree = toSlashes(relative(workspaceRoot, join(packageRoot, 'dist')));
    return { inputs: [none], requests: [{ tree }], script };
  }
  const files = `{workspaceRoot}/${inside === '' ? '' : `${escapeGlob(inside)}/`}dist/**/*.js`;
  return { inputs: [none, { fileset: files, includeIgnored: true }], requests: [], script };
}
