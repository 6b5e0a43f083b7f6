import { execSync } from 'node:child_process';
import {
  detectPackageManager,
  type GeneratorCallback,
  getPackageManagerCommand,
  readJson,
  type Tree,
  updateJson,
} from 'nx/src/devkit-exports';
import type * as Yaml from 'yaml';
import type { Document, YAMLSeq } from 'yaml';
import { IgvmError } from '../../errors/igvm-error';

/** Runs several callbacks in order after a generator's files have been written. */
export function runTasksInSerial(...tasks: readonly GeneratorCallback[]): GeneratorCallback {
  return async () => {
    for (const task of tasks) await task();
  };
}

/** Lists a package in `devDependencies` of the workspace. The callback installs it. */
export function addDevDependency(tree: Tree, name: string, version: string): GeneratorCallback {
  updateJson<{ devDependencies?: Record<string, string> }>(tree, 'package.json', (json) => {
    const all = Object.entries({ ...json.devDependencies, [name]: version });
    return { ...json, devDependencies: Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1))) };
  });
  return () => installPackages(tree);
}

/** The content of package.json at the last installation, so that generators that call each other install only once. */
let installed: string | null = null;

/** Runs the workspace's package manager, which installs the packages in package.json and links the workspace's own packages. */
export function installPackages(tree: Tree): void {
  const content = tree.read('package.json', 'utf8');
  if (installed !== null && installed === content) return;
  installed = content;
  const { install } = getPackageManagerCommand(detectPackageManager(tree.root), tree.root);
  const stdio = process.env['NX_GENERATE_QUIET'] === 'true' ? 'ignore' : 'inherit';
  execSync(install, { cwd: tree.root, stdio, windowsHide: true });
}

interface RootPackage {
  workspaces?: string[] | { packages?: string[] };
}

const PNPM_FILE = 'pnpm-workspace.yaml';

/** The patterns of the workspace's packages for the package manager; undefined if it has no workspaces. */
export function packagePatterns(tree: Tree): string[] | undefined {
  const pnpm = tree.read(PNPM_FILE, 'utf8');
  if (pnpm !== null) {
    return pnpmPatterns(pnpm);
  }
  const workspaces = rootPackage(tree).workspaces;
  return Array.isArray(workspaces) ? workspaces : workspaces?.packages;
}

/** The folder for packages in a workspace, from the first pattern of the form `folder/*`; '' if there is none. */
export function defaultParent(tree: Tree): string {
  const pattern = packagePatterns(tree)?.find((candidate) => /^[^*!]+\/\*{1,2}$/.test(candidate));
  return pattern === undefined ? '' : pattern.replace(/\/\*+$/, '');
}

/** Adds the folder to the workspace's packages, unless a pattern already covers it. */
export function addPackageFolder(tree: Tree, root: string): void {
  const patterns = packagePatterns(tree) ?? [];
  if (patterns.some((pattern) => covers(pattern, root))) {
    return;
  }
  const pnpm = tree.read(PNPM_FILE, 'utf8');
  if (pnpm !== null) {
    tree.write(PNPM_FILE, withPnpmPattern(pnpm, root));
    return;
  }
  updateJson<RootPackage, RootPackage>(tree, 'package.json', (json) => ({
    ...json,
    workspaces:
      json.workspaces === undefined || Array.isArray(json.workspaces)
        ? [...patterns, root]
        : { ...json.workspaces, packages: [...patterns, root] },
  }));
}

function rootPackage(tree: Tree): RootPackage {
  return tree.exists('package.json') ? readJson<RootPackage>(tree, 'package.json') : {};
}

/** Evaluates patterns like package managers: `*` is one folder, `**` any number. */
function covers(pattern: string, root: string): boolean {
  const parts = pattern.replace(/^\.\/|\/$/g, '').split('/');
  const source = parts
    .map((part) => (part === '**' ? '.+' : part.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '[^/]*')))
    .join('/');
  return new RegExp(`^${source}$`).test(root);
}

/** Parses pnpm-workspace.yaml with positions. The library loads slowly, and only workspaces of pnpm need it. */
function pnpmDocument(yaml: string): Document.Parsed {
  const { parseDocument } = require('yaml') as typeof Yaml;
  const document = parseDocument(yaml);
  const [error] = document.errors;
  if (error === undefined) return document;
  const { line, col: column } = error.linePos?.[0] ?? {};
  const [message = ''] = error.message.split(/ at line |\n/);
  throw new IgvmError(
    'GENERATOR_CONFLICT',
    `this is not YAML: ${message}`,
    { file: PNPM_FILE, line, column },
    { saysAll: true },
  );
}

/** The list of packages; undefined if the key is missing or empty. @throws IgvmError GENERATOR_CONFLICT */
function pnpmPatterns(yaml: string): string[] {
  const { packages } = (pnpmDocument(yaml).toJS() as { packages?: unknown } | null) ?? {};
  if (packages === undefined || packages === null) return [];
  if (Array.isArray(packages)) return packages.filter((pattern) => typeof pattern === 'string');
  throw new IgvmError('GENERATOR_CONFLICT', '"packages" is not a list', { file: PNPM_FILE }, { saysAll: true });
}

/** Inserts the pattern into the text of the list, so that everything else stays byte for byte. */
function withPnpmPattern(yaml: string, root: string): string {
  const document = pnpmDocument(yaml);
  const { isSeq } = require('yaml') as typeof Yaml;
  const packages = document.get('packages', true);
  const edited = insertPattern(yaml, isSeq(packages) ? packages : undefined, `'${root}'`);
  const { length } = pnpmPatterns(yaml);
  if (edited !== undefined && parsesTo(edited, length + 1)) return edited;
  // For any other form, the library writes the whole file, including comments.
  if (isSeq(packages)) packages.add(document.createNode(root));
  else document.set('packages', [root]);
  return document.toString({ lineWidth: 0 });
}

function parsesTo(yaml: string, count: number): boolean {
  try {
    return pnpmPatterns(yaml).length === count;
  } catch {
    return false;
  }
}

function insertPattern(yaml: string, packages: YAMLSeq | undefined, entry: string): string | undefined {
  const insert = (offset: number, text: string): string => yaml.slice(0, offset) + text + yaml.slice(offset);
  if (packages === undefined) {
    const key = /^packages:[^\S\n]*(?:#.*)?(?:~|null)?[^\S\n]*$/m.exec(yaml);
    if (key !== null) return insert(key.index + key[0].length, `\n  - ${entry}`);
    const end = yaml === '' || yaml.endsWith('\n') ? '' : '\n';
    return `${yaml}${end}packages:\n  - ${entry}\n`;
  }
  const [start] = packages.range ?? [];
  if (start === undefined) return undefined;
  const last = packages.items.at(-1) as { range?: [number, number, number] } | undefined;
  if (packages.flow === true) {
    return last?.range === undefined ? insert(start + 1, entry) : insert(last.range[1], `, ${entry}`);
  }
  if (last?.range === undefined) return undefined;
  const lineEnd = yaml.indexOf('\n', last.range[1]);
  const [indent = ''] = /[^\S\n]*$/.exec(yaml.slice(0, start)) ?? [];
  const line = `${indent}- ${entry}`;
  return lineEnd === -1 ? `${yaml}\n${line}\n` : insert(lineEnd + 1, `${line}\n`);
}
