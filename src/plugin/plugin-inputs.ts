import { existsSync, realpathSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { TargetConfiguration } from 'nx/src/devkit-exports';
import { decodeRequests, encodeRequests, type HashRequest } from './hash-request';
import { PACKAGE_NAME, PACKAGE_ROOT, toSlashes } from './package';
import { readForInference } from './read-json';
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

const LOCKFILES = ['package-lock.json', 'pnpm-lock.yaml', 'yarn.lock', 'bun.lock', 'bun.lockb'];

/** Bytes. The lockfile of a very large workspace has some ten MB. */
const LOCKFILE_LIMIT = 2 ** 28;

function mentionsPackage(workspaceRoot: string, path: string): boolean {
  try {
    return readForInference(workspaceRoot, path, LOCKFILE_LIMIT).includes(PACKAGE_NAME);
  } catch {
    // Nx reads it, too, and says so.
    return false;
  }
}

/** Whether Nx knows the plugin as a package: it reads packages from the lockfile. */
function isLocked(workspaceRoot: string): boolean {
  return LOCKFILES.some((name) => {
    const path = join(workspaceRoot, name);
    return existsSync(path) && mentionsPackage(workspaceRoot, path);
  });
}

function scriptPath(workspaceRoot: string, packageRoot: string): string {
  const installed = join(workspaceRoot, 'node_modules', PACKAGE_NAME);
  const root = existsSync(join(installed, 'package.json')) ? installed : packageRoot;
  return toSlashes(relative(workspaceRoot, join(root, 'dist', 'plugin', 'hash-files.js')));
}

/**
 * How a change of the plugin itself is seen. An installed package is an external dependency; Nx refuses to run with one
 * that it doesn't know, so a linked package is a set of files.
 * @param packageRoot folder of this package
 */
export function locatePlugin(workspaceRoot: string, packageRoot = PACKAGE_ROOT): PluginPlace {
  const script = scriptPath(workspaceRoot, packageRoot);
  const real = realpathSync(packageRoot);
  if (/[\\/]node_modules[\\/]nx-igvm$/.test(real) && isLocked(workspaceRoot)) {
    return { inputs: [{ externalDependencies: [PACKAGE_NAME] }], requests: [], script };
  }
  // Without this list every installed package would be an input.
  const none = { externalDependencies: [] };
  const inside = inWorkspace(realpathSync(workspaceRoot), real);
  if (inside === undefined) {
    const tree = toSlashes(relative(workspaceRoot, join(packageRoot, 'dist')));
    return { inputs: [none], requests: [{ tree }], script };
  }
  const files = `{workspaceRoot}/${inside === '' ? '' : `${escapeGlob(inside)}/`}dist/**/*.js`;
  return { inputs: [none, { fileset: files, includeIgnored: true }], requests: [], script };
}

/**
 * What a shell prints in place of the hashing script when that can't run: there is no `node` in PATH, as for an IDE or a service, or
 * one that is too old, or the plugin has moved. Nx would take the same failure for the same files, so each time it has to be something
 * new, without any program: for sh its process, a number of the kernel (Linux), a random number (bash, zsh, busybox) and the time
 * (where /bin/date is); for cmd.exe, which reads the same words, a random number and the time. The words are the same on every
 * system, as they are part of the hash.
 */
const OTHERWISE =
  'echo "never $$ $RANDOM $(read u < /proc/sys/kernel/random/uuid; echo $u) $(/bin/date) %RANDOM% %DATE% %TIME%"';

/** The `runtime` input that hashes what Nx can't track. File names never come near a shell. */
export function runtimeInput(place: PluginPlace, requests: readonly HashRequest[]): Inputs {
  if (requests.length === 0) return [];
  return [{ runtime: `node ${programWord(place.script)} ${encodeRequests(requests)} || ${OTHERWISE}` }];
}

/** The requests of such an input; none for a command of others. */
export function requestsOf(command: string): HashRequest[] {
  const [, argument] = /^node .* ([\w-]+) \|\| echo "never /.exec(command) ?? [];
  try {
    return argument === undefined ? [] : decodeRequests(argument);
  } catch {
    return [];
  }
}

/** What has Node run a script. One with a path that a shell could take for more than a word is named in base64. */
function programWord(script: string): string {
  if (/^[\w@./-]+$/.test(script)) return script;
  const path = `Buffer.from('${Buffer.from(script).toString('base64url')}','base64url')+''`;
  return `-e "process.argv.splice(1,0,require('path').resolve(${path}));require('module').runMain()"`;
}
