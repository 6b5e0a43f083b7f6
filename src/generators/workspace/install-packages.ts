import { execSync } from 'node:child_process';
import {
  detectPackageManager,
  type GeneratorCallback,
  getPackageManagerCommand,
  type Tree,
  updateJson,
} from 'nx/src/devkit-exports';

/** Several things to do after a generator's files are written, one after the other. */
export function runTasksInSerial(...tasks: readonly GeneratorCallback[]): GeneratorCallback {
  return async () => {
    for (const task of tasks) await task();
  };
}

/** Lists a package in `devDependencies` of the workspace; the callback installs it. */
export function addDevDependency(tree: Tree, name: string, version: string): GeneratorCallback {
  updateJson<{ devDependencies?: Record<string, string> }>(tree, 'package.json', (json) => {
    const all = Object.entries({ ...json.devDependencies, [name]: version });
    return { ...json, devDependencies: Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1))) };
  });
  return () => installPackages(tree);
}

/** What package.json held when packages were installed last: generators that run each other install once. */
let installed: string | null = null;

/** Has the workspace's package manager install what package.json lists, and link the workspace's own packages. */
export function installPackages(tree: Tree): void {
  const content = tree.read('package.json', 'utf8');
  if (installed !== null && installed === content) return;
  installed = content;
  const { install } = getPackageManagerCommand(detectPackageManager(tree.root), tree.root);
  const stdio = process.env['NX_GENERATE_QUIET'] === 'true' ? 'ignore' : 'inherit';
  execSync(install, { cwd: tree.root, stdio, windowsHide: true });
}
