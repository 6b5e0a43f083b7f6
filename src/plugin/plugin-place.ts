import { existsSync, realpathSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parse } from 'jsonc-parser';
import type { HashRequest } from './hash-files';
import { asRecord, readForInference } from './inferred-image';
import { escapeGlob, type Inputs, inWorkspace, type TrackingPlace, toSlashes } from './tracked-inputs';

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
const known = new Map<string, boolean>();

/** Whether Nx knows the plugin as a package. It reads packages from the lockfile of the package manager in use. */
function isLocked(workspaceRoot: string): boolean {
  for (const [file, has] of LOCKFILES) {
    const path = join(workspaceRoot, file);
    const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (stats === undefined) continue;
    const state = [path, stats.size, stats.mtimeNs, stats.ctimeNs, stats.ino].join(':');
    const answer = known.get(state) ?? readLock(workspaceRoot, path, has);
    known.clear();
    known.set(state, answer);
    return answer;
  }
  return false;
}

function readLock(workspaceRoot: string, path: string, has: (text: string) => boolean): boolean {
  try {
    return has(readForInference(workspaceRoot, path, LOCKFILE_LIMIT).toString());
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
