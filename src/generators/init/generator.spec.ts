import { join } from 'node:path';
import { readJson, readJsonFile, readNxJson, type Tree, updateJson, updateNxJson } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { initGenerator } from './generator';

describe('init', () => {
  let tree: Tree;
  beforeEach(() => {
    tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
  });

  const contents = (): Record<string, string | null> =>
    Object.fromEntries(['nx.json', 'package.json', '.gitignore'].map((file) => [file, tree.read(file, 'utf8')]));

  it('lists the plugin by its bare name', async () => {
    await initGenerator(tree, {});
    expect(readNxJson(tree)?.plugins).toEqual(['nx-igvm']);
  });

  it('changes nothing the second time', async () => {
    await initGenerator(tree, {});
    const once = contents();
    await initGenerator(tree, {});
    expect(contents()).toEqual(once);
  });

  it('leaves other plugins and an entry with options alone', async () => {
    const plugins = ['@nx/js', { plugin: 'nx-igvm', options: { build: 'image' } }];
    updateNxJson(tree, { ...readNxJson(tree), plugins });
    await initGenerator(tree, {});
    expect(readNxJson(tree)?.plugins).toEqual(plugins);
  });

  it('keeps target defaults in nx.json from replacing inferred values, and leaves existing entries alone', async () => {
    const own = {
      build: { cache: true, inputs: ['production'] },
      'nx-igvm:initrd': { options: { outputPath: 'out' } },
    };
    updateNxJson(tree, { ...readNxJson(tree), targetDefaults: own });
    await initGenerator(tree, {});
    const { executors } = readJsonFile<{ executors: object }>(join(__dirname, '../../../executors.json'));
    // These two have no inferred targets.
    const inferred = Object.keys(executors).filter((name) => !['reference-values', 'verify-report'].includes(name));
    const empty = Object.fromEntries(inferred.map((name) => [`nx-igvm:${name}`, {}]));
    expect(readNxJson(tree)?.targetDefaults).toEqual({ ...empty, ...own });
  });

  it('adds the package to package.json unless it is listed in any form', async () => {
    await initGenerator(tree, {});
    expect(readJson(tree, 'package.json').devDependencies).toHaveProperty('nx-igvm');

    updateJson(tree, 'package.json', (json) => ({
      ...json,
      devDependencies: {},
      dependencies: { 'nx-igvm': 'file:../nx-igvm.tgz' },
    }));
    await initGenerator(tree, {});
    expect(readJson(tree, 'package.json')).toMatchObject({
      dependencies: { 'nx-igvm': 'file:../nx-igvm.tgz' },
      devDependencies: {},
    });
  });

  it('leaves package.json alone on request', async () => {
    const before = tree.read('package.json', 'utf8');
    await initGenerator(tree, { skipPackageJson: true });
    expect(tree.read('package.json', 'utf8')).toBe(before);
  });

  it.each([
    ['node_modules', 'node_modules\ndist\n'],
    ['node_modules\n/dist\n', 'node_modules\n/dist\n'],
    ['dist/\r\ntmp\r\n', 'dist/\r\ntmp\r\n'],
    ['redist\n', 'redist\ndist\n'],
  ])('keeps images out of version control: .gitignore %j becomes %j', async (before, after) => {
    tree.write('.gitignore', before);
    await initGenerator(tree, {});
    expect(tree.read('.gitignore', 'utf8')).toBe(after);
  });
});
