import { join } from 'node:path';
import { readJsonFile, readNxJson, updateNxJson, type Tree } from 'nx/src/devkit-exports';
import { GROUP_EXECUTOR, IMAGE_TARGETS } from '../../plugin/image-targets';
import { INITRD_EXECUTOR } from '../../plugin/build-targets';
import { PACKAGE_NAME, PACKAGE_ROOT } from '../../plugin/plugin-place';

/** Version of this package, to pin in a workspace that doesn't list it yet. */
export function pluginVersion(): string {
  return readJsonFile<{ version: string }>(join(PACKAGE_ROOT, 'package.json')).version;
}

/** The executors, as targets name them. */
const EXECUTORS = [
  ...new Set([...Object.values(IMAGE_TARGETS).map(({ executor }) => executor), INITRD_EXECUTOR, GROUP_EXECUTOR]),
];

/**
 * Lists the plugin in nx.json, once, by its bare name, and gives each of its executors an entry in `targetDefaults`. Such an entry hides
 * the one for the target's name, which in most workspaces has `inputs` and `dependsOn` in place of the inferred ones; an empty one
 * keeps all that is inferred, whatever the targets are called. What is already there stays as it is.
 */
export function registerPlugin(tree: Tree): void {
  const nxJson = readNxJson(tree) ?? {};
  const { plugins = [], targetDefaults = {} } = nxJson;
  const listed = plugins.some((entry) => (typeof entry === 'string' ? entry : entry.plugin) === PACKAGE_NAME);
  const missing = EXECUTORS.filter((executor) => !Object.hasOwn(targetDefaults, executor));
  if (listed && missing.length === 0) return;
  updateNxJson(tree, {
    ...nxJson,
    plugins: listed ? plugins : [...plugins, PACKAGE_NAME],
    targetDefaults: { ...targetDefaults, ...Object.fromEntries(missing.map((executor) => [executor, {}])) },
  });
}
