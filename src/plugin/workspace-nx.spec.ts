import fs from 'node:fs';
import { join } from 'node:path';
import { featuresOf, locatePlugin as locate, nxFeatures, nxVersion, requireSupportedNx } from './workspace-nx';
import { Workspace } from './workspace.fixture';

let workspace: Workspace;
beforeEach(() => {
  workspace = new Workspace();
});
afterEach(() => workspace.remove());

const SINCE_23 = ['batchHashes', 'graphWritten', 'spread'];

describe('the features of Nx', () => {
  it.each([
    ['21.0.0', []],
    ['22.7.12', []],
    ['23.0.0-beta.3', []],
    ['23.0.0', SINCE_23],
    ['23.2.1', SINCE_23],
    ['23.3.0-rc.0', SINCE_23],
    ['23.3.0', [...SINCE_23, 'includeIgnored']],
    ['23.10.0', [...SINCE_23, 'includeIgnored']],
    ['24.0.0-beta.1', [...SINCE_23, 'includeIgnored']],
    ['24.0.4', [...SINCE_23, 'includeIgnored']],
    ['24.0.5-beta.0', [...SINCE_23, 'includeIgnored']],
    ['24.0.5', [...SINCE_23, 'continuousResult', 'includeIgnored']],
    ['24.0.6', [...SINCE_23, 'continuousResult', 'includeIgnored']],
    ['25.0.0', [...SINCE_23, 'continuousResult', 'includeIgnored']],
    ['0.0.0-pr-1234', []],
  ])('%s: %j', (version, has) => {
    const { version: _, ...features } = featuresOf(version);
    const those = Object.entries(features).filter(([, is]) => is);
    expect(those.map(([feature]) => feature).sort()).toEqual([...has].sort());
  });
});

describe('an Nx that is too old', () => {
  it.each(['20.8.4', '19.8.14', '21.0.0-beta.0', 'unknown'])('is refused: %s', (version) => {
    expect(() => requireSupportedNx(version)).toThrow(`nx-igvm needs Nx 21 or newer, this workspace has ${version}`);
  });

  it.each(['21.0.0', '21.6.11', '22.0.0', '24.0.6', '25.1.0'])('does not include %s', (version) => {
    requireSupportedNx(version);
  });
});

describe('the Nx of a workspace', () => {
  const install = (folder: string, version: string): void =>
    workspace.write(join(folder, 'node_modules', 'nx', 'package.json'), { name: 'nx', version });

  it('is the one installed in the workspace, not that of this package', () => {
    install('.', '22.7.12');
    expect(nxVersion(workspace.root)).toBe('22.7.12');
    expect(nxFeatures(workspace.root)).toEqual(featuresOf('22.7.12'));
  });

  it('is that of the wrapper, which installs below .nx', () => {
    install(join('.nx', 'installation'), '21.6.11');
    expect(nxVersion(workspace.root)).toBe('21.6.11');
  });

  it('is that of this package if the workspace has none', () => {
    expect(nxVersion(workspace.root)).toBe((require('nx/package.json') as { version: string }).version);
  });
});

describe('the plugin as an input', () => {
  const locatePlugin = (workspaceRoot: string, folder?: string) =>
    locate({ workspaceRoot, features: featuresOf('24.0.6'), followsLinks: false }, folder);
  const installed = () => {
    workspace.write('node_modules/nx-igvm/package.json', '{}');
    return `${workspace.root}/node_modules/nx-igvm`;
  };

  it('is an external dependency when it is installed and locked', () => {
    const folder = installed();
    workspace.write('pnpm-lock.yaml', "packages:\n  'nx-igvm@0.1.0': {}\n");
    expect(locatePlugin(workspace.root, folder)).toEqual({
      inputs: [{ externalDependencies: ['nx-igvm'] }],
      requests: [],
      script: 'node_modules/nx-igvm/dist/plugin/hash-files.js',
    });
  });

  it.each([
    ['nx-igvm@0.1.0', true],
    ['nx-igvm@./nx-igvm.tgz', false],
  ])('is an external dependency for bun when it comes from a registry: %s', (resolved, known) => {
    workspace.write('bun.lock', `{ "packages": { "nx-igvm": ["${resolved}", {}] } }`);
    expect(locatePlugin(workspace.root, installed()).inputs).toContainEqual({
      externalDependencies: known ? ['nx-igvm'] : [],
    });
  });

  it('is its files when Nx does not know the package', () => {
    expect(locatePlugin(workspace.root, installed()).inputs).toEqual([
      { externalDependencies: [] },
      { fileset: '{workspaceRoot}/node_modules/nx-igvm/dist/**/*.js', includeIgnored: true },
    ]);
  });

  it('is its files when it is a project of the workspace', () => {
    workspace.write('packages/nx-igvm/package.json', '{}');
    workspace.link('node_modules/nx-igvm', '../packages/nx-igvm');
    workspace.write('package-lock.json', '"node_modules/nx-igvm"');
    expect(locatePlugin(workspace.root, `${workspace.root}/packages/nx-igvm`)).toMatchObject({
      inputs: [
        { externalDependencies: [] },
        { fileset: '{workspaceRoot}/packages/nx-igvm/dist/**/*.js', includeIgnored: true },
      ],
      script: 'node_modules/nx-igvm/dist/plugin/hash-files.js',
    });
  });

  it('is hashed by its own script when it is linked from elsewhere', () => {
    const { inputs, requests } = locatePlugin(workspace.root);
    expect(inputs).toEqual([{ externalDependencies: [] }]);
    expect(requests).toEqual([{ tree: expect.stringMatching(/^\.\.\/.*\/dist$/) }]);
  });

  const PACKED = 'packages:\n  ';
  it.each<[string, string, string, boolean]>([
    ['npm', 'package-lock.json', '{"packages":{"node_modules/nx-igvm":{"version":"0.1.0"}}}', true],
    ['an old npm', 'package-lock.json', '{"dependencies":{"nx-igvm":{"version":"0.1.0"}}}', true],
    ['npm with a link', 'package-lock.json', '{"packages":{"node_modules/nx-igvm":{"link":true}}}', false],
    ['npm with another package', 'package-lock.json', '{"packages":{"node_modules/my-nx-igvm-x":{}}}', false],
    [
      'npm with a workspace of the same name',
      'package-lock.json',
      '{"name":"nx-igvm","packages":{"":{"name":"nx-igvm"}}}',
      false,
    ],
    [
      'npm below another package',
      'package-lock.json',
      '{"packages":{"node_modules/a/node_modules/nx-igvm":{}}}',
      false,
    ],
    ['npm with a broken file', 'package-lock.json', '{"packages":{"node_modules/nx-igvm":', false],
    ['pnpm', 'pnpm-lock.yaml', `${PACKED}a@1.0.0: {}\n\n  nx-igvm@0.1.0:\n    resolution: {}\n`, true],
    ['pnpm with quotes', 'pnpm-lock.yaml', `${PACKED}'nx-igvm@file:../x.tgz':\n    version: 0.1.0\n`, true],
    ['an old pnpm', 'pnpm-lock.yaml', `${PACKED}/nx-igvm/0.1.0:\n    dev: true\n`, true],
    [
      'pnpm with a link',
      'pnpm-lock.yaml',
      'importers:\n  .:\n    nx-igvm:\n      version: link:packages/nx-igvm\npackages:\n  a@1: {}\n',
      false,
    ],
    ['pnpm with another package', 'pnpm-lock.yaml', `${PACKED}my-nx-igvm-x@1.0.0: {}\n`, false],
    ['yarn', 'yarn.lock', '# yarn lockfile v1\n\n\nother@1, nx-igvm@^0.1.0:\n  version "0.1.0"\n', true],
    [
      'yarn 4',
      'yarn.lock',
      '__metadata:\n  version: 8\n\n"nx-igvm@file:../x.tgz::locator=a%40workspace%3A.":\n  version: 0.1.0\n',
      true,
    ],
    ['yarn 4 with a link', 'yarn.lock', '"nx-igvm@workspace:packages/nx-igvm":\n  version: 0.0.0-use.local\n', false],
    ['yarn with another package', 'yarn.lock', 'my-nx-igvm-x@1:\n  version "1"\n', false],
    ['bun', 'bun.lock', '{ "packages": { "nx-igvm": ["nx-igvm@0.1.0", "", {}, "sha"], }, }', true],
    ['bun with a link', 'bun.lock', '{ "packages": { "nx-igvm": ["nx-igvm@workspace:packages/nx-igvm"], }, }', false],
    ['bun with another package', 'bun.lock', '{ "packages": { "my-nx-igvm-x": ["my-nx-igvm-x@1"], }, }', false],
    ['an old bun', 'bun.lockb', 'nx-igvm', false],
  ])('is an external dependency if the lockfile has the package: %s', (_, file, text, isLocked) => {
    const folder = installed();
    workspace.write(file, text);
    const [packages] = locatePlugin(workspace.root, folder).inputs;
    expect(packages).toEqual({ externalDependencies: isLocked ? ['nx-igvm'] : [] });
  });

  it('depends on the lockfile of the package manager in use, which is read once', () => {
    const folder = installed();
    workspace.write('package-lock.json', '{"packages":{"node_modules/nx-igvm":{"version":"0.1.0"}}}');
    const read = jest.spyOn(fs, 'openSync');
    for (let times = 0; times < 3; times++) {
      expect(locatePlugin(workspace.root, folder).inputs).toEqual([{ externalDependencies: ['nx-igvm'] }]);
    }
    expect(read.mock.calls.filter(([path]) => String(path).endsWith('package-lock.json'))).toHaveLength(1);
    read.mockRestore();
    workspace.write('yarn.lock', 'a@1:\n');
    expect(locatePlugin(workspace.root, folder).inputs[0]).toEqual({ externalDependencies: [] });
  });
});
