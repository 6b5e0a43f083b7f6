import type { NxJsonConfiguration, TargetConfiguration } from '@nx/devkit';
import { requestsOf } from './hash-files';
import type { PluginOptions } from './configuration';
import { linuxManifest, Workspace } from './workspace.fixture';
import { logger } from './workspace-nx';

let workspace: Workspace;
beforeEach(() => {
  workspace = new Workspace();
});
afterEach(() => workspace.remove());

type Targets = Record<'build' | 'inspect' | 'verify' | 'measure', TargetConfiguration>;

const tracked = (path: string) => ({ fileset: `{workspaceRoot}/${path}`, includeIgnored: true });
const tdx = { guest_svn: 1, max_vtl: 2, isolation_type: { tdx: {} }, image: 'none' };

async function infer(options: PluginOptions, nxJson: NxJsonConfiguration = {}, more: object = {}): Promise<Targets> {
  workspace.write('guests/a/igvm.json', linuxManifest('k', more));
  const projects = await workspace.infer(['guests/a/igvm.json'], options, nxJson);
  return projects['guests/a']!.targets as Targets;
}

function requests({ inputs = [] }: TargetConfiguration): object[] {
  const commands = inputs.flatMap((input) => (typeof input === 'object' && 'runtime' in input ? [input.runtime] : []));
  return commands.flatMap((command) => requestsOf(command));
}

describe('a file that an option names is an input', () => {
  it('if it is the lock of verify', async () => {
    const { verify } = await infer({ verify: { options: { lock: 'locks/{imageName}.json' } } });
    expect(verify.inputs).toContainEqual(tracked('locks/a.json'));
    expect(verify.inputs).not.toContainEqual(tracked('guests/a/igvm.lock.json'));
    const outside = await infer({ verify: { options: { lock: '/srv/locks/a.json' } } });
    expect(requests(outside.verify)).toContainEqual({ file: '/srv/locks/a.json' });
  });

  it('if it is the lock in a configuration of verify, together with the inferred lock', async () => {
    const { verify } = await infer({ verify: { configurations: { release: { lock: 'release.json' } } } });
    expect(verify.inputs).toEqual(
      expect.arrayContaining([tracked('guests/a/igvm.lock.json'), tracked('release.json')]),
    );
  });

  it('if it is the image of inspect, with its map', async () => {
    const { inspect } = await infer({ inspect: { options: { image: '{workspaceRoot}/signed/{projectName}.igvm' } } });
    expect(inspect.inputs).toEqual(expect.arrayContaining([tracked('signed/a.igvm'), tracked('signed/a.igvm.map')]));
  });

  it('if it is the image of verify, with all files of its build', async () => {
    const { verify } = await infer({ verify: { options: { image: 'b.igvm' } } }, {}, { guest_configs: [tdx] });
    for (const file of ['b.igvm', 'b.igvm.map', 'b-tdx.json', 'b-tdx.cbor']) {
      expect(verify.inputs).toContainEqual(tracked(file));
    }
  });

  it('if it is the manifest of build, with its resources, and with its outputs', async () => {
    workspace.write(
      'guests/other.igvm.json',
      linuxManifest('other-k', { guest_configs: [{ ...tdx, image: { linux: {} } }] }),
    );
    const { build } = await infer({ build: { configurations: { other: { manifest: 'guests/other.igvm.json' } } } });
    for (const file of ['guests/a/igvm.json', 'guests/a/k', 'guests/other.igvm.json', 'guests/other-k']) {
      expect(build.inputs).toContainEqual(tracked(file));
    }
    for (const name of ['a.igvm', 'other.igvm', 'other-tdx.json']) {
      expect(build.outputs).toContain(`{options.outputPath}/${name}`);
    }
  });

  it('if it is a manifest of build that does not exist', async () => {
    const { build } = await infer({ build: { options: { manifest: 'missing.json' } } });
    expect(build.inputs).toContainEqual(tracked('missing.json'));
  });

  it('if it is the config of an initramfs, with its folder', async () => {
    workspace.write('boot/initrd.json', {});
    workspace.write('other/initrd.json', { folder: 'tree', compression: 'gzip' });
    const options = {
      initrd: { configurations: { other: { config: 'other/initrd.json' }, no: { config: 'no.json' } } },
    };
    const { build } = (await workspace.infer(['boot/initrd.json'], options))['boot']!.targets as Targets;
    expect(build.inputs).toEqual(expect.arrayContaining([tracked('boot/initrd.json'), tracked('other/initrd.json')]));
    expect(requests(build)).toEqual(expect.arrayContaining([{ tree: 'boot/rootfs' }, { tree: 'other/tree' }]));
    expect(build.outputs).toEqual(['{options.outputPath}/initrd.cpio', '{options.outputPath}/initrd.cpio.gz']);
  });
});

describe('the folder of outputs', () => {
  it('contains the name of the project, from whichever file it comes', async () => {
    const options = { build: { options: { outputPath: 'out/{projectName}' } } };
    const image = async () => (await infer(options)).verify.options.image as string;
    expect((await infer(options)).build.outputs![0]).toBe('{options.outputPath}/a.igvm');
    expect(await image()).toBe('out/a/a.igvm');
    expect((await infer(options, {}, { name: 'own' })).verify.options.image).toBe('out/own/a.igvm');
    workspace.write('guests/a/package.json', { name: 'of-package' });
    expect(await image()).toBe('out/of-package/a.igvm');
    workspace.write('guests/a/package.json', { name: 'of-package', nx: { name: 'of-block' } });
    expect(await image()).toBe('out/of-block/a.igvm');
    workspace.write('guests/a/project.json', { name: 'of-project' });
    expect(await image()).toBe('out/of-project/a.igvm');
  });

  it('comes from the default configuration, if there is one', async () => {
    const build = {
      options: { outputPath: 'base' },
      defaultConfiguration: 'release',
      configurations: { release: { outputPath: 'rel' }, debug: { outputPath: 'dbg' } },
    };
    expect((await infer({ build })).verify.options.image).toBe('rel/a.igvm');
    const { defaultConfiguration: _, ...without } = build;
    expect((await infer({ build: without })).verify.options.image).toBe('base/a.igvm');
  });
});

describe('target defaults in nx.json', () => {
  const resources = 'guests/a/resources.json';
  const folder = { outputPath: 'moved' };

  it.each<[string, NxJsonConfiguration['targetDefaults']]>([
    ['an executor', { 'nx-igvm:build': { options: { resources, ...folder } } }],
    ['a name', { build: { options: { resources, ...folder } } }],
    ['a pattern', { 'b*': { options: { resources, ...folder } } }],
    ['a pattern of several names', { '{build,make}': { options: { resources, ...folder } } }],
    ['a list', { 'nx-igvm:build': [{ options: { resources } }, { options: folder }] }],
    ['a list with a filter', { build: [{ filter: { executor: 'nx-igvm:build' }, options: { resources, ...folder } }] }],
  ])('apply by %s', async (_, targetDefaults) => {
    const { build, verify } = await infer({}, { targetDefaults });
    expect(build.inputs).toContainEqual(tracked(resources));
    expect(build.inputs).not.toContainEqual(tracked('guests/a/k'));
    expect(verify.options.image).toBe('moved/a.igvm');
  });

  it.each<[string, NxJsonConfiguration['targetDefaults']]>([
    ['a filter by project', { build: [{ filter: { projects: ['tag:x'] }, options: { resources } }] }],
    ['a filter by plugin', { build: [{ filter: { plugin: 'nx-igvm' }, options: { resources } }] }],
    ['a pattern with rare syntax', { '@(build|make)': { options: { resources } } }],
    ['a range in a pattern', { '{a..c}uild': { options: { resources } } }],
  ])('add inputs if only Nx knows whether they apply: %s', async (_, targetDefaults) => {
    const { build } = await infer({}, { targetDefaults });
    expect(build.inputs).toEqual(expect.arrayContaining([tracked(resources), tracked('guests/a/k')]));
  });

  it.each<[string, NxJsonConfiguration['targetDefaults']]>([
    ['with a pattern that does not match', { 'c*': { options: { resources } } }],
    ['below a key with higher precedence', { 'nx-igvm:build': {}, build: { options: { resources } } }],
    ['below a longer pattern', { 'bu*': {}, 'b*': { options: { resources } } }],
    ['with a filter for another executor', { build: [{ filter: { executor: 'nx:noop' }, options: { resources } }] }],
    ['in an entry for another executor', { build: { executor: 'nx:noop', options: { resources } } }],
  ])('do not apply %s', async (_, targetDefaults) => {
    const { build } = await infer({}, { targetDefaults });
    expect(build.inputs).not.toContainEqual(tracked(resources));
  });

  it('also apply with lower precedence if those with higher precedence may not', async () => {
    const { build } = await infer(
      {},
      {
        targetDefaults: {
          'nx-igvm:build': [{ filter: { projects: ['x'] }, options: { resources: 'one.json' } }],
          build: { options: { resources: 'two.json' } },
        },
      },
    );
    expect(build.inputs).toEqual(expect.arrayContaining([tracked('one.json'), tracked('two.json')]));
  });
});

describe('the options of the plugin', () => {
  it('rename a target', async () => {
    expect(Object.keys(await infer({ build: 'image' }))).toContain('image');
    expect(Object.keys(await infer({ build: { name: 'image' } }))).toContain('image');
  });

  it('are ignored with a warning if they are invalid or unknown', async () => {
    const warn = jest.spyOn(logger, 'warn').mockImplementation(() => {});
    const wrong = {
      build: null,
      inspect: 7,
      buildTargetName: 'x',
      verfy: false,
      biuld: 1,
      other: 1,
    } as unknown as PluginOptions;
    const targets = await infer(wrong);
    expect(Object.keys(targets)).toEqual(Object.keys(await infer({})));
    expect(warn.mock.calls.flat()).toEqual([
      'the option "build" of the plugin nx-igvm takes a name, false or an object, not null',
      'the option "inspect" of the plugin nx-igvm takes a name, false or an object, not 7',
      'the plugin nx-igvm has no option "buildTargetName"; did you mean "build"?',
      'the plugin nx-igvm has no option "verfy"; did you mean "verify"?',
      'the plugin nx-igvm has no option "biuld"; did you mean "build"?',
      'the plugin nx-igvm has no option "other"',
    ]);
    warn.mockRestore();
  });

  it('are ignored with a warning if Nx could not use them in a target', async () => {
    const warn = jest.spyOn(logger, 'warn').mockImplementation(() => {});
    const wrong = { build: { nme: 'x', inputs: 'x', options: ['strict'], parallelism: false } };
    const targets = await infer(wrong as unknown as PluginOptions);
    const { build } = await infer({});
    expect(targets.build).toMatchObject({ inputs: build!.inputs, options: build!.options, parallelism: false });
    expect(warn.mock.calls.flat()).toEqual([
      '"nme" in the option "build" of the plugin nx-igvm is not a key of a target; did you mean "name"?',
      '"inputs" in the option "build" of the plugin nx-igvm takes a list, not "x", and is left out',
      '"options" in the option "build" of the plugin nx-igvm takes an object, not ["strict"], and is left out',
    ]);
    warn.mockRestore();
  });

  it('leave a target out', async () => {
    expect(Object.keys(await infer({ build: false }))).not.toContain('build');
  });

  it('extend a target', async () => {
    const { build } = await infer({
      build: { inputs: ['...', '{projectRoot}/more'], options: { strict: true }, parallelism: false },
    });
    expect(build).toMatchObject({ parallelism: false, options: { strict: true, manifest: 'guests/a/igvm.json' } });
    expect(build!.inputs).toContainEqual(tracked('guests/a/k'));
    expect(build!.inputs).toContain('{projectRoot}/more');
  });

  it('move the outputs', async () => {
    const moved = await infer({ build: { options: { outputPath: 'out/{projectRoot}' } } });
    expect(moved.build.outputs![0]).toBe('{options.outputPath}/a.igvm');
  });

  it('may contain the name of the image', async () => {
    const files = ['images/a.igvm.json', 'images/b.igvm.json'];
    for (const file of files) workspace.write(file, linuxManifest('k'));
    const options = {
      build: { name: 'make', options: { outputPath: 'out/{imageName}' }, inputs: ['{imageName}.txt'] },
    };
    const { targets } = (await workspace.infer(files, options))['images']!;
    expect(targets!['make-a']).toMatchObject({ options: { outputPath: 'out/a' }, inputs: ['a.txt'] });
    expect(targets!['inspect-b']!.options).toMatchObject({ image: 'out/b/b.igvm' });
    expect(targets!['make']!.dependsOn).toEqual(['make-a', 'make-b']);
  });
});
