import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { readJson, type Tree } from 'nx/src/devkit-exports';

/** Where Prettier is configured, besides `prettier` in package.json. */
const PRETTIER_FILE = /^(?:\.prettierrc(?:\..+)?|prettier\.config\.[cm]?[jt]s)$/;

/** What is used of Prettier 2 and 3. */
interface Prettier {
  resolveConfig(path: string, options: { editorconfig: boolean }): Promise<object | null>;
  getFileInfo(path: string, options: object): Promise<{ ignored: boolean; inferredParser: string | null }>;
  format(text: string, options: object): string | Promise<string>;
}

/**
 * Formats what a generator wrote as the workspace formats its files. The workspace's own `@nx/devkit` knows all formatters of its Nx;
 * one without it may still have Prettier.
 */
export async function formatFiles(tree: Tree): Promise<void> {
  const fromWorkspace = createRequire(join(tree.root, 'package.json'));
  const devkit = load<{ formatFiles?: (tree: Tree) => Promise<void> }>(() => fromWorkspace('@nx/devkit') as object);
  if (devkit?.formatFiles !== undefined) return devkit.formatFiles(tree);
  if (process.env['NX_SKIP_FORMAT'] === 'true' || !usesPrettier(tree)) return;
  const path = load(() => fromWorkspace.resolve('prettier'));
  if (path === undefined) return;
  const module = (await import(pathToFileURL(path).href)) as Prettier & { default?: Prettier };
  const prettier = module.default ?? module;
  for (const { path: file, content, type } of tree.listChanges()) {
    if (type !== 'DELETE' && content !== null) await formatFile(tree, prettier, file, content.toString());
  }
}

/** What a function returns, or undefined where it throws: a package may be missing, or be of another Node. */
function load<T>(get: () => T): T | undefined {
  try {
    return get();
  } catch {
    return undefined;
  }
}

function usesPrettier(tree: Tree): boolean {
  if (tree.children('.').some((name) => PRETTIER_FILE.test(name))) return true;
  return tree.exists('package.json') && 'prettier' in readJson<object>(tree, 'package.json');
}

/** A file that Prettier can't read stays as it was written. */
async function formatFile(tree: Tree, prettier: Prettier, file: string, text: string): Promise<void> {
  const filepath = join(tree.root, file);
  try {
    const options = { ...(await prettier.resolveConfig(filepath, { editorconfig: true })), filepath };
    const { ignored, inferredParser } = await prettier.getFileInfo(filepath, options);
    if (!ignored && inferredParser !== null) tree.write(file, await prettier.format(text, options));
  } catch {
    // Not worth failing for.
  }
}
