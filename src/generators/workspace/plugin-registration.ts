import { join } from 'node:path';
import { readJsonFile, readNxJson, updateNxJson, type Tree } from 'nx/src/devkit-exports';
import { PACKAGE_NAME, PACKAGE_ROOT } from '../../plugin/package';

/** Version of this package, to pin in a workspace that doesn't list it yet. */
export function pluginVersion(): string {
  return readJsonFile<{ version: string }>(join(PACKAGE_ROOT, 'package.json')).version;
}

/**
 * Lists the plugin in nx.json, once, by its bare name. An entry that is already there, with options or without, stays as
 * it is. Nothing else of nx.json changes: target defaults would replace the inputs that the plugin infers.
 */
export function registerPlugin(tree: Tree): void {
  const nxJson = readNxJson(tree) ?? {};
  const plugins = nxJson.plugins ?? [];
  const listed = plugins.some((entry) => (typeof entry === 'string' ? entry : entry.plugin) === PACKAGE_NAME);
  if (!listed) {
    updateNxJson(tree, { ...nxJson, plugins: [...plugins, PACKAGE_NAME] });
  }
}
