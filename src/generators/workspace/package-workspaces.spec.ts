import { readJson, type Tree, updateJson } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { addPackageFolder, defaultParent, packagePatterns } from './package-workspaces';

describe('packages of a workspace', () => {
  let tree: Tree;
  beforeEach(() => {
    tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
  });
  const setWorkspaces = (workspaces: unknown): void =>
    updateJson(tree, 'package.json', (json) => ({ ...json, workspaces }));

  it('are none where the package manager has no workspaces', () => {
    expect(packagePatterns(tree)).toBeUndefined();
    expect(defaultParent(tree)).toBe('');
  });

  it('are read from package.json in both of its forms', () => {
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
  ])('with the pattern %s, %s is one: %s', (pattern, root, covered) => {
    setWorkspaces([pattern]);
    addPackageFolder(tree, root);
    expect(readJson(tree, 'package.json').workspaces).toEqual(covered ? [pattern] : [pattern, root]);
  });

  it('take a folder more in the object form', () => {
    setWorkspaces({ packages: ['apps/*'], nohoist: ['x'] });
    addPackageFolder(tree, 'images/a');
    expect(readJson(tree, 'package.json').workspaces).toEqual({ packages: ['apps/*', 'images/a'], nohoist: ['x'] });
  });

  it.each([
    ["packages:\n  - 'apps/*'\n", ['images/a', 'apps/*']],
    ['onlyBuiltDependencies:\n  - nx\n', ['images/a']],
    ['', ['images/a']],
  ])('take a folder more in pnpm-workspace.yaml %j', (before, after) => {
    tree.write('pnpm-workspace.yaml', before);
    addPackageFolder(tree, 'images/a');
    expect(packagePatterns(tree)).toEqual(after);
    const kept = before.replace('packages:\n', '');
    expect(tree.read('pnpm-workspace.yaml', 'utf8')).toContain(kept);
  });
});
