import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type * as Ejs from 'ejs';
import { readJson, type Tree } from 'nx/src/devkit-exports';
import { IgvmError } from '../../errors/igvm-error';

/**
 * Runs a generator so that a user's mistake is shown with its place, code and cure, and without a stack trace. Nx prints an error's
 * message, and the stack trace of any error that has one.
 * @param generator its name, which takes the place of NAME in a cure
 */
export async function reportingUserErrors<T>(generator: string, generate: () => Promise<T>): Promise<T> {
  try {
    return await generate();
  } catch (error) {
    if (!(error instanceof IgvmError)) {
      throw error;
    }
    const text = error.format().replaceAll('nx-igvm:NAME', `nx-igvm:${generator}`);
    const failure = new Error(text, { cause: error });
    delete failure.stack;
    throw failure;
  }
}

/** Whether Nx prompts for missing options (nx/src/utils/params.ts). */
const asks = (): boolean => process.stdout.isTTY === true && process.env['CI'] !== 'true';

/**
 * Removes options for questions that the user skipped, which Nx passes as empty texts. If Nx doesn't prompt, an empty text was given
 * explicitly, most likely through an unset variable of the shell.
 * @param keys the options that a user may be asked for and needn't answer
 * @throws IgvmError GENERATOR_OPTION
 */
export function withoutSkipped<Options extends object>(options: Options, keys: readonly (keyof Options)[]): Options {
  const answered = { ...options };
  for (const key of keys) {
    const value = options[key];
    if (typeof value !== 'string' || value.trim() !== '') continue;
    if (!asks()) throw new IgvmError('GENERATOR_OPTION', `${String(key)} is empty`);
    delete answered[key];
  }
  return answered;
}

/** The variables of templates. `name` also replaces `__name__` in the names of files. */
export type Variables = Readonly<Record<string, unknown>> & { readonly name: string };

/**
 * Writes the files of a folder with EJS templates, whose names end in `.template`.
 * @param templates absolute path
 * @param target folder in the workspace
 * @param keep whether a file that is there already stays
 */
export function generateFiles(
  tree: Tree,
  templates: string,
  target: string,
  variables: Variables,
  { keep = false } = {},
): void {
  const ejs = require('ejs') as typeof Ejs;
  for (const file of readdirSync(templates, { recursive: true }) as string[]) {
    if (!file.endsWith('.template')) continue;
    const source = join(templates, file);
    const path = join(target, file)
      .replace(/\.template$/, '')
      .replaceAll('__name__', variables.name);
    if (keep && tree.exists(path)) continue;
    tree.write(path, ejs.render(readFileSync(source, 'utf8'), variables, { filename: source }));
  }
}

/** The files that configure Prettier, besides `prettier` in package.json. */
const PRETTIER_FILE = /^(?:\.prettierrc(?:\..+)?|prettier\.config\.[cm]?[jt]s)$/;

/** The part of the API of Prettier 2 and 3 that is used here. */
interface Prettier {
  resolveConfig(path: string, options: { editorconfig: boolean }): Promise<object | null>;
  getFileInfo(path: string, options: object): Promise<{ ignored: boolean; inferredParser: string | null }>;
  format(text: string, options: object): string | Promise<string>;
}

/**
 * Formats generated files like the other files of the workspace. The workspace's own `@nx/devkit` supports all formatters of its Nx.
 * A workspace without it may still have Prettier.
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

/** The result of a function, or undefined if it throws: a package may be missing, or be for another version of Node. */
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

/** A file that Prettier can't parse stays as it was written. */
async function formatFile(tree: Tree, prettier: Prettier, file: string, text: string): Promise<void> {
  const filepath = join(tree.root, file);
  try {
    const options = { ...(await prettier.resolveConfig(filepath, { editorconfig: true })), filepath };
    const { ignored, inferredParser } = await prettier.getFileInfo(filepath, options);
    if (!ignored && inferredParser !== null) tree.write(file, await prettier.format(text, options));
  } catch {
    // Formatting is not worth a failure.
  }
}
