import type { ExecutorContext, ProjectConfiguration, ProjectGraph, TargetConfiguration } from '@nx/devkit';
import { linuxManifest, Workspace } from '../plugin/workspace.fixture';
import { checkTarget, checkTrackedOptions } from './check-target';

let workspace: Workspace;
beforeEach(() => {
  workspace = new Workspace();
  jest.spyOn(console, 'warn').mockImplementation();
});
afterEach(() => {
  jest.restoreAllMocks();
  workspace.remove();
});

const kernel = { project: 'kernel', target: 'compile', path: 'dist/kernel/k' };

/** Checks a target of an inferred project after a user's files have changed it. */
async function check(
  name: string,
  change: Partial<TargetConfiguration> = {},
  {
    files = ['a/igvm.json'],
    options = {},
    ...more
  }: { files?: string[]; options?: object } & Partial<ExecutorContext> = {},
): Promise<void> {
  for (const file of files) if (file.endsWith('igvm.json')) workspace.write(file, linuxManifest(kernel));
  const { a } = (await workspace.infer(files)) as { a: ProjectConfiguration };
  const target = { ...a.targets![name]!, ...change };
  const data = { ...a, targets: { ...a.targets, [name]: target } };
  const builder = { type: 'lib', name: 'kernel', data: { root: 'kernel', targets: { compile: {} } } };
  const projectGraph = { nodes: { a: { type: 'app', name: 'a', data }, kernel: builder }, dependencies: {} };
  const context = {
    root: workspace.root,
    nxJsonConfiguration: {},
    projectGraph,
    ...more,
  } as unknown as ExecutorContext;
  checkTarget(context, { project: 'a', target: name }, { ...target.options, ...options });
}

const REFUSED = { code: 'NX_KEY_REPLACED' };

describe('an inferred target', () => {
  it.each(['build', 'inspect', 'measure', 'verify', 'boot'])('runs: %s', async (name) => {
    await check(name);
  });

  it('runs if Nx has dropped a dependency on a missing project or target, which the build reports', async () => {
    const withoutBuilder = (nodes: object) =>
      ({ projectGraph: { nodes, dependencies: {} } }) as unknown as ExecutorContext;
    workspace.write('a/igvm.json', linuxManifest(kernel));
    const { a } = (await workspace.infer(['a/igvm.json'])) as { a: ProjectConfiguration };
    const data = { ...a, targets: { ...a.targets, build: { ...a.targets!['build'], dependsOn: [] } } };
    const own = { a: { type: 'app', name: 'a', data } };
    await check('build', {}, withoutBuilder(own));
    await check(
      'build',
      {},
      withoutBuilder({ ...own, kernel: { name: 'kernel', data: { root: 'kernel', targets: {} } } }),
    );
  });

  it('runs after a file has become a link, which Nx’s daemon does not notice', async () => {
    workspace.write('a/rootfs/init');
    workspace.write('a/initrd.json', {});
    await check('build', {}, { files: ['a/initrd.json'] });
  });

  it('runs in a project with several images, together and alone', async () => {
    const files = ['a/x.igvm.json', 'a/y.igvm.json'];
    await check('build', {}, { files });
    await check('build-x', {}, { files });
    await check('verify-y', {}, { files });
  });
});

describe('a target whose keys are replaced', () => {
  it.each<[string, string, Partial<TargetConfiguration>]>([
    ['build', 'inputs', { inputs: ['default'] }],
    ['build', 'outputs', { outputs: [] }],
    ['build', 'dependsOn', { dependsOn: ['^build'] }],
    ['build', 'dependsOn', { dependsOn: [], cache: false }],
    ['inspect', 'inputs', { inputs: ['default'] }],
    ['inspect', 'dependsOn', { dependsOn: ['^build'] }],
    ['measure', 'cache', { cache: true }],
    ['verify', 'cache', { cache: true }],
    ['boot', 'dependsOn', { dependsOn: [] }],
  ])('is refused: %s, %s', async (name, key, change) => {
    await expect(check(name, change)).rejects.toMatchObject(REFUSED);
    await expect(check(name, change)).rejects.toThrow(new RegExp(`^a:${name}: "${key}" `));
    await check(name, change, { options: { ownKeys: [key] } });
  });

  it('is also refused for an initramfs and a group of images', async () => {
    workspace.write('a/initrd.json', {});
    await expect(check('build', { inputs: ['default'] }, { files: ['a/initrd.json'] })).rejects.toMatchObject(REFUSED);
    const files = ['a/x.igvm.json', 'a/y.igvm.json'];
    await expect(check('build', { dependsOn: ['^build'] }, { files })).rejects.toThrow('build-x would not run first');
  });

  it('names the file and the cure', async () => {
    workspace.write('a/project.json', { targets: { build: { dependsOn: [] } } });
    await expect(check('build', { dependsOn: [] })).rejects.toThrow(
      /"dependsOn" in a\/project.json replaces .*put "..." into the list/,
    );
    const nxJsonConfiguration = { targetDefaults: { build: { inputs: [] } } };
    await expect(check('build', { inputs: [] }, { nxJsonConfiguration })).rejects.toThrow(
      /nx.json \(targetDefaults\["build"\]\).*nx g nx-igvm:init/,
    );
  });

  it('runs if it is uncached or extended, or if its dependencies run first through other targets', async () => {
    await check('build', { inputs: [], outputs: [], cache: false });
    const dependencies = { 'a:build': [{ id: 'a:prepare' }], 'a:prepare': [{ id: 'kernel:compile' }] };
    const taskGraph = { dependencies } as unknown as ExecutorContext['taskGraph'];
    await check('build', { dependsOn: ['prepare'] }, { taskGraph });
  });
});

describe('files in options', () => {
  const NAMES = ['resources', 'loader'];

  function check(options: object, target: TargetConfiguration, configuration?: string): void {
    const node = { type: 'app' as const, name: 'guest', data: { root: 'guest', targets: { build: target } } };
    const projectGraph: ProjectGraph = { nodes: { guest: node }, dependencies: {} };
    checkTrackedOptions(
      { root: '/srv', projectGraph },
      { project: 'guest', target: 'build', configuration },
      options,
      NAMES,
    );
  }
  const cached: TargetConfiguration = {
    cache: true,
    options: { resources: 'guest/resources.json' },
    configurations: { release: { resources: 'release.json', loader: 'bin/igvmfilegen' } },
  };

  it('are allowed if the target names them, however they are written', () => {
    expect(() => check({}, cached)).not.toThrow();
    expect(() => check({ resources: 'guest/resources.json' }, cached)).not.toThrow();
    expect(() => check({ resources: '/srv/guest/../guest/resources.json' }, cached)).not.toThrow();
  });

  it('are allowed if the configuration that runs names them', () => {
    const options = { resources: 'release.json', loader: 'bin/igvmfilegen' };
    expect(() => check(options, cached, 'release')).not.toThrow();
    expect(() => check(options, cached)).toThrow('--resources=release.json');
  });

  it('are refused if only the command line names them', () => {
    expect(() => check({ resources: 'other.json' }, cached)).toThrow(
      expect.objectContaining({ code: 'NX_OPTION_UNTRACKED' }),
    );
    expect(() => check({ loader: 'other' }, cached)).toThrow('--loader=other');
  });

  it('are allowed if the target is not cached', () => {
    expect(() => check({ resources: 'other.json' }, { options: {} })).not.toThrow();
    expect(() => check({ resources: 'other.json' }, { ...cached, cache: false })).not.toThrow();
  });

  it('are allowed outside of a task', () => {
    const context = { root: '/srv', projectGraph: { nodes: {}, dependencies: {} } };
    expect(() => checkTrackedOptions(context, undefined, { resources: 'other.json' }, NAMES)).not.toThrow();
  });
});
