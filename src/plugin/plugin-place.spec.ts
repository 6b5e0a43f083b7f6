import { execFileSync, execSync } from 'node:child_process';
import fs, { chmodSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { decodeRequests, encodeRequests } from './hash-files';
import { featuresOf } from './workspace-nx';
import { locatePlugin as locate } from './plugin-place';
import { requestsOf, runtimeInput } from './tracked-inputs';
import { Workspace } from './workspace.fixture';

let workspace: Workspace;
const locatePlugin = (workspaceRoot: string, folder?: string) =>
  locate({ workspaceRoot, features: featuresOf('24.0.6'), followsLinks: false }, folder);
beforeEach(() => {
  workspace = new Workspace();
});
afterEach(() => workspace.remove());

describe('the plugin as an input', () => {
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

  it('is its files when Nx knows no such package', () => {
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

  it('is hashed by itself when it is linked from elsewhere', () => {
    const { inputs, requests } = locatePlugin(workspace.root);
    expect(inputs).toEqual([{ externalDependencies: [] }]);
    expect(requests).toEqual([{ tree: expect.stringMatching(/^\.\.\/.*\/dist$/) }]);
  });

  const PACKED = 'packages:\n  ';
  it.each<[string, string, string, boolean]>([
    ['npm', 'package-lock.json', '{"packages":{"node_modules/nx-igvm":{"version":"0.1.0"}}}', true],
    ['npm, of old', 'package-lock.json', '{"dependencies":{"nx-igvm":{"version":"0.1.0"}}}', true],
    ['npm, linked', 'package-lock.json', '{"packages":{"node_modules/nx-igvm":{"link":true}}}', false],
    ['npm, another package', 'package-lock.json', '{"packages":{"node_modules/my-nx-igvm-x":{}}}', false],
    [
      'npm, a workspace of the name',
      'package-lock.json',
      '{"name":"nx-igvm","packages":{"":{"name":"nx-igvm"}}}',
      false,
    ],
    ['npm, below another', 'package-lock.json', '{"packages":{"node_modules/a/node_modules/nx-igvm":{}}}', false],
    ['npm, broken', 'package-lock.json', '{"packages":{"node_modules/nx-igvm":', false],
    ['pnpm', 'pnpm-lock.yaml', `${PACKED}a@1.0.0: {}\n\n  nx-igvm@0.1.0:\n    resolution: {}\n`, true],
    ['pnpm, quoted', 'pnpm-lock.yaml', `${PACKED}'nx-igvm@file:../x.tgz':\n    version: 0.1.0\n`, true],
    ['pnpm, of old', 'pnpm-lock.yaml', `${PACKED}/nx-igvm/0.1.0:\n    dev: true\n`, true],
    [
      'pnpm, linked',
      'pnpm-lock.yaml',
      'importers:\n  .:\n    nx-igvm:\n      version: link:packages/nx-igvm\npackages:\n  a@1: {}\n',
      false,
    ],
    ['pnpm, another package', 'pnpm-lock.yaml', `${PACKED}my-nx-igvm-x@1.0.0: {}\n`, false],
    ['yarn', 'yarn.lock', '# yarn lockfile v1\n\n\nother@1, nx-igvm@^0.1.0:\n  version "0.1.0"\n', true],
    [
      'yarn 4',
      'yarn.lock',
      '__metadata:\n  version: 8\n\n"nx-igvm@file:../x.tgz::locator=a%40workspace%3A.":\n  version: 0.1.0\n',
      true,
    ],
    ['yarn 4, linked', 'yarn.lock', '"nx-igvm@workspace:packages/nx-igvm":\n  version: 0.0.0-use.local\n', false],
    ['yarn, another package', 'yarn.lock', 'my-nx-igvm-x@1:\n  version "1"\n', false],
    ['bun', 'bun.lock', '{ "packages": { "nx-igvm": ["nx-igvm@0.1.0", "", {}, "sha"], }, }', true],
    ['bun, linked', 'bun.lock', '{ "packages": { "nx-igvm": ["nx-igvm@workspace:packages/nx-igvm"], }, }', false],
    ['bun, another package', 'bun.lock', '{ "packages": { "my-nx-igvm-x": ["my-nx-igvm-x@1"], }, }', false],
    ['bun, of old', 'bun.lockb', 'nx-igvm', false],
  ])('is locked by %s when its lockfile has the package', (_, file, text, isLocked) => {
    const folder = installed();
    workspace.write(file, text);
    const [packages] = locatePlugin(workspace.root, folder).inputs;
    expect(packages).toEqual({ externalDependencies: isLocked ? ['nx-igvm'] : [] });
  });

  it('goes by the lockfile of the package manager in use, and reads it once', () => {
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

  it('runs its hashing script only for what needs it', () => {
    const place = { inputs: [], requests: [], script: 'node_modules/nx-igvm/dist/plugin/hash-files.js' };
    expect(runtimeInput(place, [])).toEqual([]);
    const [input] = runtimeInput(place, [{ file: 'a b' }]) as { runtime: string }[];
    const [, program, script, argument] = /^(\S+) (\S+) (\S+) \|\| /.exec(input!.runtime)!;
    expect([program, script, decodeRequests(argument!)]).toEqual(['node', place.script, [{ file: 'a b' }]]);
    expect(requestsOf(input!.runtime)).toEqual([{ file: 'a b' }]);
    expect(requestsOf('node other.js abc')).toEqual([]);
  });

  it('runs it from a folder of any name, too, and nothing besides', () => {
    const script = `it's "1" $(touch PWNED) ; touch PWNED & %PATH%/print.js`;
    workspace.write(script, 'console.log(require.main === module, process.argv[2]);');
    const requests = [{ file: '$(touch PWNED)' }];
    const [input] = runtimeInput({ script }, requests) as { runtime: string }[];
    const output = execSync(input!.runtime, { cwd: workspace.root, encoding: 'utf8' });
    expect(output).toBe(`true ${encodeRequests(requests)}\n`);
    expect(existsSync(join(workspace.root, 'PWNED'))).toBe(false);
  });

  describe('never gives the same answer twice', () => {
    const REQUESTS = [{ file: 'package.json' }];
    const answers = (script: string, shell: string, path: string): string[] => {
      const [input] = runtimeInput({ script }, REQUESTS) as { runtime: string }[];
      return [1, 2].map(() =>
        execFileSync(shell, ['-c', input!.runtime], {
          cwd: workspace.root,
          env: { PATH: path },
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
        }),
      );
    };
    const SHELLS = ['/bin/sh', '/bin/bash', '/bin/dash', '/bin/ash'].filter((shell) => existsSync(shell));

    it.each(SHELLS)('where there is no node: %s', (shell) => {
      const [one, two] = answers('hash-files.js', shell, '/nonexistent');
      expect(one).toMatch(/^never \d+ /);
      expect(two).not.toBe(one);
    });

    it('where the plugin has moved', () => {
      const [one, two] = answers('moved/hash-files.js', '/bin/sh', process.env['PATH']!);
      expect(one).toMatch(/^never \d+ /);
      expect(two).not.toBe(one);
    });

    it('where node is too old to read the script', () => {
      workspace.write('bin/node', '#!/bin/sh\necho "SyntaxError: Unexpected token" >&2\nexit 1\n');
      chmodSync(join(workspace.root, 'bin/node'), 0o755);
      const [one, two] = answers('hash-files.js', '/bin/sh', join(workspace.root, 'bin'));
      expect(one).toMatch(/^never \d+ /);
      expect(two).not.toBe(one);
    });
  });
});
