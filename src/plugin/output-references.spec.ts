import type { CreateDependenciesContext, ProjectConfiguration } from '@nx/devkit';
import { createDependencies } from './output-references';
import type { PluginOptions } from './configuration';
import { linuxManifest, Workspace } from './workspace.fixture';

let workspace: Workspace;
beforeEach(() => {
  workspace = new Workspace();
});
afterEach(() => workspace.remove());

const project = (root: string, manifest?: string): ProjectConfiguration => ({
  root,
  targets: manifest === undefined ? {} : { build: { executor: 'nx-igvm:build', options: { manifest } } },
});

const edges = async (projects: Record<string, ProjectConfiguration>, options: PluginOptions = {}) => {
  const context = { projects, workspaceRoot: workspace.root } as CreateDependenciesContext;
  return (await createDependencies(options, context)).map(({ source, target, type }) => `${source} ${type} ${target}`);
};

describe('the project graph', () => {
  const output = (name: string) => ({ project: name, target: 'build', path: `dist/${name}` });

  it('has an edge from an image to each project whose output it uses', async () => {
    workspace.write('a/igvm.json', linuxManifest(output('kernel')));
    workspace.write('b/other.json', linuxManifest(output('kernel')));
    workspace.write('c/igvm.json', linuxManifest('file'));
    expect(
      await edges({
        a: project('a', 'a/igvm.json'),
        b: project('b', '{projectRoot}/other.json'),
        c: project('c', 'c/igvm.json'),
        kernel: project('kernel'),
      }),
    ).toEqual(['a implicit kernel', 'b implicit kernel']);
  });

  it('has an edge from an initramfs to the projects of its container image and its modules', async () => {
    workspace.write('a/initrd.json', JSON.stringify({ image: output('app'), modules: [output('kernel'), 'b.ko'] }));
    const packing = {
      root: 'a',
      targets: { build: { executor: 'nx-igvm:initrd', options: { config: 'a/initrd.json' } } },
    };
    const cached = (root: string) => ({ root, targets: { build: { cache: true } } });
    expect(await edges({ a: packing, app: cached('app'), kernel: cached('kernel') })).toEqual([
      'a implicit app',
      'a implicit kernel',
    ]);
    await expect(edges({ a: packing, app: { root: 'app', targets: { build: {} } } })).rejects.toMatchObject({
      code: 'NX_TARGET_UNCACHED',
      message: expect.stringContaining('a/initrd.json: a resource names app:build'),
    });
  });

  it('is refused if a resource would run a target that Nx does not cache', async () => {
    workspace.write('a/igvm.json', linuxManifest({ project: 'infra', target: 'deploy', path: 'dist/k' }));
    const graph = (deploy: object, options = {}) => {
      const projects = { a: project('a', 'a/igvm.json'), infra: { root: 'infra', targets: { deploy } } };
      return edges(projects, options);
    };
    await expect(graph({ executor: 'nx:run-commands' })).rejects.toMatchObject({
      code: 'NX_TARGET_UNCACHED',
      message: 'a/igvm.json: a resource names infra:deploy, which would run, and is not cacheable',
    });
    await expect(graph({ cache: false }, { resourceTargets: ['other:deploy', 'infra'] })).rejects.toThrow(
      'infra:deploy',
    );
    const allowed = ['a implicit infra'];
    expect(await graph({ executor: 'nx:run-commands', cache: true })).toEqual(allowed);
    expect(await graph({ executor: 'nx:noop' })).toEqual(allowed);
    expect(await graph({}, { resourceTargets: ['infra:deploy'] })).toEqual(allowed);
    expect(await graph({}, { resourceTargets: ['deploy'] })).toEqual(allowed);
  });

  it('has no edge to the project itself or a missing one, for an unused resource, or for a broken manifest', async () => {
    workspace.write('a/igvm.json', linuxManifest(output('a')));
    workspace.write('b/igvm.json', linuxManifest(output('nowhere')));
    workspace.write('c/igvm.json', linuxManifest('file', { resources: { uefi: output('kernel') } }));
    workspace.write('d/igvm.json', '{');
    const projects = Object.fromEntries(
      ['a', 'b', 'c', 'd', 'e'].map((name) => [name, project(name, `${name}/igvm.json`)]),
    );
    expect(await edges({ ...projects, kernel: project('kernel') })).toEqual([]);
  });
});
