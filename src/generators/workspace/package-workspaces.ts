import { readJson, updateJson, type Tree } from 'nx/src/devkit-exports';

interface RootPackage {
  workspaces?: string[] | { packages?: string[] };
}

const PNPM_FILE = 'pnpm-workspace.yaml';

/** The folders that the package manager takes as packages of the workspace; undefined when it has no workspaces. */
export function packagePatterns(tree: Tree): string[] | undefined {
  const pnpm = tree.read(PNPM_FILE, 'utf8');
  if (pnpm !== null) {
    return pnpmPatterns(pnpm);
  }
  const workspaces = rootPackage(tree).workspaces;
  return Array.isArray(workspaces) ? workspaces : workspaces?.packages;
}

/** The folder below which a workspace of packages keeps them, from the first pattern of the form `folder/*`. Else ''. */
export function defaultParent(tree: Tree): string {
  const pattern = packagePatterns(tree)?.find((candidate) => /^[^*!]+\/\*{1,2}$/.test(candidate));
  return pattern === undefined ? '' : pattern.replace(/\/\*+$/, '');
}

/** Makes the package manager take the folder as a package, unless a pattern covers it already. */
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

/** Patterns as package managers read them: `*` is one folder, `**` any number. */
function covers(pattern: string, root: string): boolean {
  const parts = pattern.replace(/^\.\/|\/$/g, '').split('/');
  const source = parts
    .map((part) => (part === '**' ? '.+' : part.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '[^/]*')))
    .join('/');
  return new RegExp(`^${source}$`).test(root);
}

/** The `packages` list of pnpm-workspace.yaml in block form, which is how pnpm and Nx write it. */
function pnpmPatterns(yaml: string): string[] {
  const block = /^packages:[ \t]*\r?\n((?:[ \t]*-.*(?:\r?\n|$)|[ \t]*(?:#.*)?\r?\n)*)/m.exec(yaml)?.[1] ?? '';
  return [...block.matchAll(/^[ \t]*-[ \t]*(['"]?)([^'"#\r\n]+?)\1[ \t]*(?:#.*)?$/gm)].map(
    (match) => match[2] as string,
  );
}

function withPnpmPattern(yaml: string, root: string): string {
  const entry = `  - '${root}'\n`;
  return /^packages:[ \t]*\r?$/m.test(yaml)
    ? yaml.replace(/^packages:[ \t]*\r?\n/m, (line) => `${line}${entry}`)
    : `packages:\n${entry}${yaml}`;
}
