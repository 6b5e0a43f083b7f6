import { readJson, type Tree, updateJson } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import type { IgvmError } from '../../errors/igvm-error';
import { addPackageFolder, defaultParent, packagePatterns } from './install-packages';

describe('packages of a workspace', () => {
  let tree: Tree;
  beforeEach(() => {
    tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
  });
  const setWorkspaces = (workspaces: unknown): void =>
    updateJson(tree, 'package.json', (json) => ({ ...json, workspaces }));

  it('are undefined if the package manager has no workspaces', () => {
    expect(packagePatterns(tree)).toBeUndefined();
    expect(defaultParent(tree)).toBe('');
  });

  it('are read from package.json in both forms', () => {
    setWorkspaces(['apps/*', 'images/*']);
    expect(packagePatterns(tree)).toEqual(['apps/*', 'images/*']);
    expect(defaultParent(tree)).toBe('apps');
    setWorkspaces({ packages: ['!old/*', 'images/**'] });
    expect(packagePatterns(tree)).toEqual(['!old/*', 'images/**']);
    expect(defaultParent(tree)).toBe('images');
  });

  it('are read from pnpm-workspace.yaml', () => {
    tree.write(
      'pnpm-workspace.yaml',
      '# ours\npackages:\n  - \'apps/*\' # apps\n\n  - "images/*"\n  - tools\nonlyBuiltDependencies:\n  - nx\n',
    );
    expect(packagePatterns(tree)).toEqual(['apps/*', 'images/*', 'tools']);
  });

  it.each([
    ['images/*', 'images/a', true],
    ['images/*', 'images/a/b', false],
    ['images/**', 'images/a/b', true],
    ['images/a', 'images/a', true],
    ['im.ges/*', 'images/a', false],
    ['./images/*/', 'images/a', true],
  ])('the pattern %s covers %s: %s', (pattern, root, covered) => {
    setWorkspaces([pattern]);
    addPackageFolder(tree, root);
    expect(readJson(tree, 'package.json').workspaces).toEqual(covered ? [pattern] : [pattern, root]);
  });

  it('get another folder in the object form', () => {
    setWorkspaces({ packages: ['apps/*'], nohoist: ['x'] });
    addPackageFolder(tree, 'images/a');
    expect(readJson(tree, 'package.json').workspaces).toEqual({ packages: ['apps/*', 'images/a'], nohoist: ['x'] });
  });

  it.each([
    ["packages:\n  - 'apps/*'\n", ['apps/*', 'images/a']],
    ['onlyBuiltDependencies:\n  - nx\n', ['images/a']],
    ['', ['images/a']],
  ])('get another folder in pnpm-workspace.yaml %j', (before, after) => {
    tree.write('pnpm-workspace.yaml', before);
    addPackageFolder(tree, 'images/a');
    expect(packagePatterns(tree)).toEqual(after);
    for (const line of before.split('\n')) expect(tree.read('pnpm-workspace.yaml', 'utf8')).toContain(line);
  });

  it.each([
    [`packages: ["packages/*"]\n`, `packages: ["packages/*", 'images/a']\n`],
    [`packages: []\nx: 1`, `packages: ['images/a']\nx: 1`],
    [`packages: [\n  "a/*", # ours\n]\n`, undefined],
    [`{ "packages": ["a/*"], "x": 1 }`, `{ "packages": ["a/*", 'images/a'], "x": 1 }`],
    [
      `# all\npackages:\n  - "packages/*" # ours\n\n# native code\nallowBuilds: { nx: true }\n`,
      `# all\npackages:\n  - "packages/*" # ours\n  - 'images/a'\n\n# native code\nallowBuilds: { nx: true }\n`,
    ],
    [
      `packages:\n- packages/*\ncatalog:\n  nx: ^24.0.0\n`,
      `packages:\n- packages/*\n- 'images/a'\ncatalog:\n  nx: ^24.0.0\n`,
    ],
    [`packages:\n    - packages/*`, `packages:\n    - packages/*\n    - 'images/a'\n`],
    [`# none yet\npackages:\ncatalog: {}\n`, `# none yet\npackages:\n  - 'images/a'\ncatalog: {}\n`],
    [`catalog: {}`, `catalog: {}\npackages:\n  - 'images/a'\n`],
  ])('are added without changing the rest of pnpm-workspace.yaml: %j', (before, after) => {
    tree.write('pnpm-workspace.yaml', before);
    const present = packagePatterns(tree) ?? [];
    addPackageFolder(tree, 'images/a');
    const text = tree.read('pnpm-workspace.yaml', 'utf8') ?? '';
    expect(packagePatterns(tree)).toEqual([...present, 'images/a']);
    if (after !== undefined) expect(text).toBe(after);
    for (const comment of before.match(/#.*/g) ?? []) expect(text).toContain(comment);
  });

  it.each([
    ['packages: [', /pnpm-workspace\.yaml:\d+:\d+: this is not YAML/],
    ['packages: images', /pnpm-workspace\.yaml: "packages" is not a list/],
  ])('give a clear error for a wrong pnpm-workspace.yaml: %j', (text, message) => {
    tree.write('pnpm-workspace.yaml', text);
    const failure = (() => {
      try {
        return addPackageFolder(tree, 'images/a');
      } catch (error) {
        return error as IgvmError;
      }
    })();
    expect(failure?.format()).toMatch(message);
    expect(tree.read('pnpm-workspace.yaml', 'utf8')).toBe(text);
  });
});
