import type { NxJsonConfiguration, TargetConfiguration } from '@nx/devkit';
import { lacksOf } from './effective-target';
import { logger } from './workspace-nx';
import type { PluginOptions } from './configuration';
import { requestsOf } from './hash-files';
import { linuxManifest, Workspace } from './workspace.fixture';

let workspace: Workspace;
let warn: jest.SpyInstance;
beforeEach(() => {
  workspace = new Workspace();
  warn = jest.spyOn(logger, 'warn').mockImplementation(() => {});
});
afterEach(() => {
  warn.mockRestore();
  workspace.remove();
});

const warnings = (): string[] => warn.mock.calls.flat().map(String);

/** Makes the name of each project unique, because every warning is given only once. */
let count = 0;

async function infer(
  targetDefaults: NxJsonConfiguration['targetDefaults'],
  more: NxJsonConfiguration = {},
  options?: PluginOptions,
) {
  const root = `image${count++}`;
  workspace.write(`${root}/igvm.json`, linuxManifest('../shared/k'));
  return inferIn(root, { targetDefaults, ...more }, options);
}

async function inferIn(root: string, nxJson: NxJsonConfiguration, options?: PluginOptions) {
  const project = (await workspace.infer([`${root}/igvm.json`], options, nxJson))[root]!;
  return { ...project, build: project.targets!['build']!, boot: project.targets!['boot']! };
}

const requestsIn = (inputs: readonly unknown[] = []): object[] =>
  inputs.flatMap((input) => requestsOf(String((input as { runtime?: string }).runtime)));

describe('lists of a user that replace inferred ones', () => {
  it('get the inferred inputs through a named input', async () => {
    const { build, namedInputs } = await infer(
      { build: { cache: true, inputs: ['production', '^production'] } },
      { namedInputs: { default: ['{projectRoot}/**/*'], production: ['default', '!{projectRoot}/*.spec.ts'] } },
    );
    expect(build.cache).toBe(true);
    expect(namedInputs!['production']!.slice(0, 2)).toEqual(['default', '!{projectRoot}/*.spec.ts']);
    expect(requestsIn(namedInputs!['production'])).toContainEqual({ file: 'shared/k' });
    expect(warnings()).toEqual([]);
  });

  it('get them through "default" even if nx.json does not define it', async () => {
    const { namedInputs } = await infer({ build: { inputs: [{ input: 'default' }, '^default'] } });
    expect(namedInputs!['default']![0]).toBe('{projectRoot}/**/*');
    expect(requestsIn(namedInputs!['default'])).toContainEqual({ file: 'shared/k' });
  });

  it('get the inputs of all images in a folder', async () => {
    for (const name of ['a', 'b']) workspace.write(`many/${name}.igvm.json`, linuxManifest(name));
    const nxJson = { targetDefaults: { 'build*': { inputs: ['default'] } } };
    const { many } = await workspace.infer(['many/a.igvm.json', 'many/b.igvm.json'], {}, nxJson);
    for (const file of ['many/a', 'many/b']) expect(requestsIn(many!.namedInputs!['default'])).toContainEqual({ file });
  });

  it.each<[string, object]>([
    ['inputs without a name', { inputs: ['^production', '{projectRoot}/*'] }],
    ['outputs of another kind', { outputs: ['{projectRoot}/lib'] }],
    ['no outputs', { outputs: [] }],
    ['outputs without a file', { outputs: ['{options.outputPath}', '!{workspaceRoot}/dist/**/*.map'] }],
  ])('make a target uncached, with a warning: %s', async (_, defaults) => {
    const { build } = await infer({ build: defaults });
    expect(build.cache).toBe(false);
    expect(warnings()).toEqual([
      expect.stringMatching(/is never taken from the cache: ".*" in nx.json \(targetDefaults\["build"\]\) replaces/),
    ]);
  });

  it.each([
    '{options.outputPath}',
    '{workspaceRoot}/dist/{projectRoot}',
    '{workspaceRoot}/dist/**/*',
    '{workspaceRoot}/dist/*/*.igvm*',
  ])('are accepted if they cover the inferred ones: outputs %s', async (output) => {
    expect((await infer({ build: { outputs: [output] } })).build.cache).toBe(true);
    expect(warnings()).toEqual([]);
  });

  it('make a target that the user wants cached miss the cache every time', async () => {
    const { build } = await infer({ build: { cache: true, outputs: ['{projectRoot}/lib'] } });
    expect(requestsIn(build.inputs)).toContainEqual({ never: true });
  });

  it('cause a warning if the target that makes the kernel would not run', async () => {
    workspace.write('other/igvm.json', linuxManifest({ project: 'kernel', target: 'compile', path: 'k' }));
    await inferIn('other', { targetDefaults: { build: { dependsOn: ['^build'] } } });
    expect(warnings()).toEqual([
      expect.stringMatching(/^other:build will be refused: "dependsOn" in .*kernel:compile would not run first/),
    ]);
    warn.mockClear();
    workspace.write('same/igvm.json', linuxManifest({ project: 'kernel', target: 'build', path: 'k' }));
    await inferIn('same', { targetDefaults: { build: { dependsOn: ['^build'] } } });
    expect(warnings()).toEqual([]);
  });

  it('change nothing with "...", with ownKeys, or if there is an entry for the executor', async () => {
    const all: NxJsonConfiguration['targetDefaults'][] = [
      { build: { inputs: ['...', 'production'], outputs: ['...'] } },
      { build: { inputs: [], outputs: [], options: { ownKeys: ['inputs', 'outputs'] } } },
      { 'nx-igvm:build': {}, build: { inputs: [], outputs: [] } },
      { build: { cache: false, inputs: [] } },
    ];
    for (const defaults of all) {
      const { build, namedInputs } = await infer(defaults);
      expect([build.cache, namedInputs]).toEqual([true, undefined]);
      expect(warnings()).toEqual([]);
    }
  });

  it.each(['project.json', 'package.json'])('are also found in %s', async (file) => {
    const targets = { build: { outputs: [] } };
    workspace.write(`in-${file}/${file}`, file === 'project.json' ? { targets } : { name: 'p', nx: { targets } });
    workspace.write(`in-${file}/igvm.json`, linuxManifest('k'));
    expect((await inferIn(`in-${file}`, {})).build.cache).toBe(false);
    expect(warnings()[0]).toContain(`in-${file}/${file}`);
  });

  it('do not make every command fail: a continuous target can’t be cached', async () => {
    const { boot } = await infer({ 'bo*': { cache: true } });
    expect(boot.continuous).toBe(false);
  });

  it('get another cure for an Nx that does not support "..."', async () => {
    workspace.write('node_modules/nx/package.json', { version: '22.7.12' });
    workspace.write('old/project.json', { targets: { build: { outputs: [] } } });
    workspace.write('old/igvm.json', linuxManifest('k'));
    await inferIn('old', {});
    expect(warnings()[0]).toContain('options of the plugin nx-igvm in nx.json');
  });
});

describe('a script in package.json with the name of a target', () => {
  const write = (root: string, json: object) => {
    workspace.write(`${root}/package.json`, json);
    workspace.write(`${root}/igvm.json`, linuxManifest('k'));
  };

  it('is reported once', async () => {
    write('scripted', { name: 'scripted', scripts: { build: 'make', lint: 'x' } });
    await inferIn('scripted', {});
    await inferIn('scripted', {});
    expect(warnings()).toEqual([
      expect.stringContaining(
        'the script "build" of scripted/package.json runs in place of the inferred target scripted:build',
      ),
    ]);
  });

  it('is not reported if Nx does not include it', async () => {
    write('unscripted', { name: 'unscripted', scripts: { build: 'make' }, nx: { includedScripts: [] } });
    await inferIn('unscripted', {});
    expect(warnings()).toEqual([]);
  });
});

describe('what a target lacks', () => {
  const base: TargetConfiguration = {
    executor: 'nx-igvm:build',
    cache: true,
    options: { outputPath: 'dist/a' },
    outputs: ['{options.outputPath}/a.igvm'],
    inputs: [{ dependentTasksOutputFiles: 'k', transitive: true }, { externalDependencies: ['nx-igvm'] }],
    dependsOn: [{ projects: ['kernel'], target: 'make' }, 'own'],
  };
  const lacks = (change: Partial<TargetConfiguration>, more: object = {}) =>
    lacksOf({
      expected: base,
      effective: { ...base, ...change },
      project: { name: 'a', root: 'a' },
      namedInput: (name) => (name === 'all' ? base.inputs : undefined),
      ownFolder: true,
      ...more,
    }).map(({ key }) => key);

  it.each<[string, Partial<TargetConfiguration>, string[]]>([
    ['nothing', {}, []],
    ['nothing, through a named input', { inputs: ['all'] }, []],
    ['a named input of other projects', { inputs: ['^all'] }, ['inputs']],
    ['another package', { inputs: [base.inputs![0]!, { externalDependencies: ['other'] }] }, ['inputs']],
    ['no list of packages: all count', { inputs: [base.inputs![0]!] }, []],
    ['a dependency by name', { dependsOn: ['kernel:make', 'o*'] }, []],
    ['dependencies of the project', { dependsOn: ['^make', 'own'] }, []],
    [
      'dependencies of the project, as an object',
      { dependsOn: [{ target: 'make', dependencies: true }, { target: 'own' }] },
      [],
    ],
    ['another target of the dependencies', { dependsOn: ['^build', 'own'] }, ['dependsOn']],
    ['the target of this project', { dependsOn: ['make', 'own'] }, ['dependsOn']],
    ['no dependencies, uncached', { dependsOn: [], cache: false }, ['dependsOn']],
    ['no outputs, uncached', { outputs: [], inputs: [], cache: false }, []],
    ['an output elsewhere', { options: { outputPath: 'x' }, outputs: ['{workspaceRoot}/dist/a'] }, ['outputs']],
  ])('%s', (_, change, expected) => {
    expect(lacks(change)).toEqual(expected);
  });

  it('is an uncached run, if the target has to run each time', () => {
    expect(lacks({}, { expected: { ...base, cache: false } })).toEqual(['cache']);
  });

  it('is a file in the outputs, if several targets write to a folder', () => {
    const outputs = ['{options.outputPath}'];
    expect([lacks({ outputs }), lacks({ outputs }, { ownFolder: false })]).toEqual([[], ['outputs']]);
  });

  it('does not include a dependency that runs first through other targets', () => {
    expect(lacks({ dependsOn: [] }, { runsBefore: () => true })).toEqual([]);
  });
});
