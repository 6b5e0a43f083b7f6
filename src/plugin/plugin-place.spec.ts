import { execFileSync, execSync } from 'node:child_process';
import { chmodSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { decodeRequests, encodeRequests } from './hash-request';
import { featuresOf } from './nx-versions';
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
