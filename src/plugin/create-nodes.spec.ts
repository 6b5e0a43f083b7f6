import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TargetConfiguration } from '@nx/devkit';
import { requestsOf } from './hash-files';
import type { PluginOptions } from './configuration';
import { linuxManifest, requests, Workspace } from './workspace.fixture';

let workspace: Workspace;
beforeEach(() => {
  workspace = new Workspace();
});
afterEach(() => workspace.remove());

const tracked = (path: string) => ({ fileset: `{workspaceRoot}/${path}`, includeIgnored: true });

/** A file that Nx tracks, and that another target may write. */
const input = (path: string) => [tracked(path), written(path)];
const written = (path: string) => ({ dependentTasksOutputFiles: path, transitive: true });
const changing = (pattern: string) => [{ fileset: `{workspaceRoot}/${pattern}` }, written(pattern)];

/** The inputs that are neither the manifest, nor the `runtime` input, nor the plugin itself. */
function resourceInputs(target: TargetConfiguration | undefined): unknown[] {
  return (target?.inputs ?? [])
    .slice(2)
    .filter((input) => typeof input !== 'object' || !('runtime' in input || 'externalDependencies' in input));
}

async function inferOne(kernel: unknown, options?: PluginOptions, more?: object) {
  workspace.write('images/one/igvm.json', linuxManifest(kernel, more));
  const { targets } = (await workspace.infer(['images/one/igvm.json'], options))['images/one']!;
  return targets!;
}

describe('a project with one image', () => {
  it('has a cacheable target that declares its inputs and outputs', async () => {
    const { build } = await inferOne('vmlinuz');
    expect(build).toMatchObject({
      executor: 'nx-igvm:build',
      cache: true,
      options: { manifest: 'images/one/igvm.json', outputPath: 'dist/images/one' },
      outputs: ['{options.outputPath}/one.igvm', '{options.outputPath}/one.igvm.map'],
      metadata: {
        technologies: ['igvm'],
        description: 'Builds the IGVM image one',
        help: { command: expect.any(String) },
      },
    });
    expect(build!.inputs!.slice(0, 4)).toEqual([...input('images/one/igvm.json'), ...input('images/one/vmlinuz')]);
    expect(build!.dependsOn).toBeUndefined();
  });

  it('gets its name from the manifest only if no other file names it', async () => {
    workspace.write('a/igvm.json', linuxManifest('k', { name: 'chosen' }));
    workspace.write('b/igvm.json', linuxManifest('k'));
    workspace.write('c/igvm.json', linuxManifest('k', { name: 'ignored' }));
    workspace.write('c/project.json', {});
    workspace.write('d/igvm.json', linuxManifest('k'));
    workspace.write('d/package.json', {});
    const projects = await workspace.infer(['a/igvm.json', 'b/igvm.json', 'c/igvm.json', 'd/igvm.json']);
    expect(Object.values(projects).map(({ name }) => name)).toEqual(['chosen', 'b', undefined, undefined]);
  });

  it('has its path as name if another folder has the same name', async () => {
    const files = ['x64/prod/igvm.json', 'arm64/prod/igvm.json', 'x64/dev/igvm.json'];
    for (const file of files) workspace.write(file, linuxManifest('k'));
    const projects = await workspace.infer(files);
    expect(Object.values(projects).map(({ name }) => name)).toEqual(['arm64-prod', 'dev', 'x64-prod']);
  });

  it('has targets that are the same in every clone', async () => {
    const kernel = '../../../outside/vmlinuz';
    const targets = JSON.stringify(await inferOne(kernel));
    expect(targets).not.toContain(workspace.root);
    expect(JSON.stringify(await inferOne(kernel))).toBe(targets);
  });

  it('has the same name at the root of a workspace, whatever the folder is called', async () => {
    workspace.write('igvm.json', linuxManifest('k'));
    const { '.': project } = await workspace.infer(['igvm.json']);
    expect(project).toMatchObject({ name: 'image', targets: { build: { options: { outputPath: 'dist' } } } });
    expect(project!.targets!['build']!.outputs![0]).toBe('{options.outputPath}/image.igvm');
  });

  it('escapes outputs in a folder with special characters, so that Nx treats them as files', async () => {
    workspace.write('a (b)/igvm.json', linuxManifest('k'));
    const { targets } = (await workspace.infer(['a (b)/igvm.json']))['a (b)']!;
    expect(targets!['build']!.outputs![0]).toBe('{workspaceRoot}/dist/a \\(b\\)/a \\(b\\).igvm');
  });

  it('declares the files of each platform', async () => {
    const guest = (isolation_type: unknown) => ({ guest_svn: 1, max_vtl: 2, isolation_type, image: 'none' });
    const guest_configs = [guest({ snp: {} }), guest({ tdx: {} }), guest({ vbs: {} })];
    const { build } = await inferOne('k', {}, { guest_configs });
    expect(build!.outputs!.map((output) => output.replace('{options.outputPath}/', ''))).toEqual([
      'one.igvm',
      'one.igvm.map',
      'one-snp.cbor',
      'one-snp.json',
      'one-snp.idblock',
      'one-tdx.cbor',
      'one-tdx.json',
      'one-vbs.cbor',
      'one-vbs.json',
    ]);
  });
});

describe('the inputs of an image', () => {
  it('are firmware, UKI and keys for an OVMF image, keys only with Secure Boot', async () => {
    const ovmf = (secureBoot: object): object => ({
      guest_arch: 'x64',
      guest_configs: [{ guest_svn: 1, max_vtl: 0, isolation_type: 'none', image: { ovmf: secureBoot } }],
      resources: { ovmf_code: 'OVMF.fd', uki: 'linux.efi', secure_boot_db: 'db.pem', linux_initrd: 'initrd' },
    });
    const inputsOf = async (manifest: object): Promise<unknown[]> => {
      workspace.write('images/one/igvm.json', JSON.stringify(manifest));
      const { targets } = (await workspace.infer(['images/one/igvm.json']))['images/one']!;
      return resourceInputs(targets!['build']);
    };
    const always = [...input('images/one/OVMF.fd'), ...input('images/one/linux.efi')];
    expect(await inputsOf(ovmf({}))).toEqual(always);
    expect(await inputsOf(ovmf({ secure_boot: { hashes: true } }))).toEqual([...always, ...input('images/one/db.pem')]);
  });

  it.each<[string, unknown, string]>([
    ['beside the manifest', 'vmlinuz', 'images/one/vmlinuz'],
    ['above the manifest', '../vmlinuz', 'images/vmlinuz'],
    ['from the workspace', '{workspaceRoot}/boot/vmlinuz', 'boot/vmlinuz'],
    [
      'with special characters',
      'a \\[b\\] \\{c\\} (d)! $(e); "f" é',
      'images/one/a \\[b\\] \\{c\\} \\(d\\)\\! $\\(e\\); "f" é',
    ],
    ['that is pinned', { path: 'vmlinuz', sha256: 'a'.repeat(64) }, 'images/one/vmlinuz'],
  ])('include a file %s', async (_, resource, expected) => {
    const { build } = await inferOne(resource);
    expect(resourceInputs(build)).toEqual(input(expected));
    expect(requests(build)).toEqual([]);
  });

  it.each<[string, unknown, object[], pattern: string]>([
    ['outside the workspace', '/opt/boot/vmlinuz', [{ file: '/opt/boot/vmlinuz' }], ''],
    ['outside, with a relative path', '../../../other/vmlinuz', [{ file: '../other/vmlinuz' }], ''],
    ['outside and pinned', { path: '/opt/boot/vmlinuz', sha256: 'a'.repeat(64) }, [], ''],
    ['by a glob', 'boot/vmlinuz-*', [{ glob: 'boot/vmlinuz-*', base: 'images/one' }], 'images/one/boot/vmlinuz-*'],
    ['by a glob above', '../k/{a,b}*', [{ glob: '../k/{a,b}*', base: 'images/one' }], 'images/k/{a,b}*'],
    ['by a glob with rare syntax', 'k-[0-9]+(a)*', [{ glob: 'k-[0-9]+(a)*', base: 'images/one' }], 'images/one/k-*'],
    ['by a glob with rarer syntax', 'a/{b/c,d}/*', [{ glob: 'a/{b/c,d}/*', base: 'images/one' }], 'images/one/a/**/*'],
    ['by a glob from the workspace', '{workspaceRoot}/boot/k-*', [{ glob: 'boot/k-*', base: '.' }], 'boot/k-*'],
    ['by a glob outside', '/boot/vmlinuz-*', [{ glob: '/boot/vmlinuz-*', base: '.' }], ''],
  ])('hash a file %s', async (_, resource, expected, pattern) => {
    const { build } = await inferOne(resource);
    expect(resourceInputs(build)).toEqual(pattern === '' ? [] : changing(pattern));
    expect(requests(build)).toEqual(expected);
  });

  it('hash a file that becomes a link later, which Nx’s daemon does not notice', async () => {
    workspace.write('images/one/k');
    const { build } = await inferOne('k');
    const commands = build!.inputs!.flatMap((each) =>
      typeof each === 'object' && 'runtime' in each ? [each.runtime] : [],
    );
    expect(commands.flatMap(requestsOf)).toContainEqual({ linked: 'images/one/k' });
    rmSync(join(workspace.root, 'images/one/k'));
    workspace.link('images/one/k', '../../real/k');
    expect(requests((await inferOne('k'))['build'])).toEqual([{ file: 'images/one/k' }]);
  });

  it('include the targets of links, for nx affected and for targets that write them', async () => {
    workspace.write('real/k');
    workspace.link('links/next', '../real/k');
    workspace.link('images/one/k', '../../links/next');
    workspace.link('linked', 'real');
    workspace.link('outside', '/opt');
    expect(resourceInputs((await inferOne('k'))['build'])).toEqual([
      written('images/one/k'),
      ...['links/next', 'real/k'].flatMap(changing),
    ]);
    for (const pattern of ['linked/k', 'real/k']) {
      expect((await inferOne('{workspaceRoot}/linked/k'))['build']!.inputs).toContainEqual(written(pattern));
    }
    for (const pattern of ['linked/k*', 'real/k*']) {
      expect((await inferOne('{workspaceRoot}/linked/k*'))['build']!.inputs).toContainEqual(written(pattern));
    }
    // A link that a pattern matches, and one that leads out of the workspace.
    expect((await inferOne('{workspaceRoot}/links/n*'))['build']!.inputs).toContainEqual(written('real/k'));
    expect(resourceInputs((await inferOne('{workspaceRoot}/outside/k'))['build'])).toEqual([
      written('outside/k'),
      ...changing('outside'),
    ]);
  });

  it('hash files that git ignores, if Nx can’t', async () => {
    workspace.write('node_modules/nx/package.json', { version: '23.2.1', main: 'x' });
    const { build } = await inferOne('k');
    expect(requests(build)).toEqual([{ file: 'images/one/igvm.json' }, { file: 'images/one/k' }]);
    expect(resourceInputs(build)).toEqual(changing('images/one/k'));
  });

  it('follow an absolute path back into the workspace', async () => {
    const { build } = await inferOne(`${workspace.root}/boot/k`);
    expect(resourceInputs(build)).toEqual(input('boot/k'));
  });

  it('include the output of another target, which runs first', async () => {
    const { build } = await inferOne({ project: 'kernel', target: 'compile', path: 'dist/kernel/k (1)' });
    expect(build!.dependsOn).toEqual([{ projects: ['kernel'], target: 'compile' }]);
    expect(resourceInputs(build)).toEqual([{ dependentTasksOutputFiles: 'dist/kernel/k \\(1\\)', transitive: true }]);
  });

  it('leave out resources that no image uses', async () => {
    const resources = { linux_kernel: 'k', linux_initrd: 'i', uefi: { project: 'p', target: 't', path: 'x' } };
    const { build } = await inferOne('k', {}, { resources });
    expect(resourceInputs(build)).toEqual(input('images/one/k'));
    expect(build!.dependsOn).toBeUndefined();
  });

  it('include a separate resources file and the files it names, wherever the option is set', async () => {
    workspace.write('images/one/resources.json', { resources: { linux_kernel: '/opt/k', uefi: '/opt/unused' } });
    const resources = '{projectRoot}/resources.json';
    const expected = input('images/one/resources.json');
    const fromPlugin = await inferOne('unused', { build: { options: { resources } } });
    expect(resourceInputs(fromPlugin['build'])).toEqual(expected);
    expect(requests(fromPlugin['build'])).toEqual([{ file: '/opt/k' }]);
    workspace.write(
      'images/one/project.json',
      '{ /* a comment */ "targets": {"build": {"options": {"resources": "{projectRoot}/resources.json"}}}}',
    );
    expect(resourceInputs((await inferOne('unused'))['build'])).toEqual(expected);
    workspace.write('images/one/project.json', {
      targets: { build: { configurations: { ci: { options: 0, resources } } } },
    });
    expect(resourceInputs((await inferOne('used'))['build'])).toEqual([...input('images/one/used'), ...expected]);
  });

  it('include an external loader', async () => {
    const { build } = await inferOne('k', { build: { options: { loader: '/opt/igvmfilegen' } } });
    expect(requests(build)).toEqual([{ file: '/opt/igvmfilegen' }]);
  });

  it('include an external loader from PATH', async () => {
    const { build } = await inferOne('k', { build: { options: { loader: 'igvmfilegen' } } });
    expect(requests(build)).toContainEqual({ program: 'igvmfilegen' });
  });

  it('include the plugin, and no other package', async () => {
    const { build } = await inferOne('k');
    expect(build!.inputs).toContainEqual({ externalDependencies: [] });
    expect(JSON.stringify(build!.inputs)).toContain('runtime');
  });
});

describe('a project with several images', () => {
  const files = ['images/igvm.json', 'images/b.igvm.json', 'images/a.igvm.json'];
  beforeEach(() => {
    for (const file of files) workspace.write(file, linuxManifest('k'));
  });

  it('has a target for each, and one that runs them all', async () => {
    const { targets, metadata } = (await workspace.infer(files))['images']!;
    const each = (kind: string) => ['a', 'b', 'images'].map((image) => `${kind}-${image}`);
    const kinds = ['build', 'inspect', 'measure', 'verify'];
    expect(Object.keys(targets!).sort()).toEqual([...kinds, ...[...kinds, 'boot'].flatMap(each)].sort());
    expect(targets!['build']).toMatchObject({
      executor: 'nx-igvm:group',
      dependsOn: ['build-a', 'build-b', 'build-images'],
    });
    expect(targets!['build-a']!.outputs).toEqual(['{options.outputPath}/a.igvm', '{options.outputPath}/a.igvm.map']);
    expect(metadata!.targetGroups).toBeDefined();
  });

  it('keeps two images of the same name apart', async () => {
    workspace.write('images/images.igvm.json', linuxManifest('k'));
    const { targets } = (await workspace.infer(['images/images.igvm.json', 'images/igvm.json']))['images']!;
    expect(Object.keys(targets!)).toEqual(expect.arrayContaining(['build', 'build-igvm', 'build-images']));
    expect(targets!['build-igvm']!.options).toMatchObject({ outputPath: 'dist/images/igvm' });
    expect(targets!['build-images']!.options).toMatchObject({ outputPath: 'dist/images' });
  });

  it('keeps two images of the same name apart at the root of a workspace', async () => {
    const atRoot = ['igvm.json', 'image.igvm.json'];
    for (const file of atRoot) workspace.write(file, linuxManifest('k'));
    const { targets } = (await workspace.infer(atRoot))['.']!;
    expect(targets!['build']!.dependsOn).toEqual(['build-igvm', 'build-image']);
    expect(targets!['build-igvm']!.options).toMatchObject({ manifest: 'igvm.json', outputPath: 'dist/igvm' });
    expect(targets!['build-image']!.options).toMatchObject({ manifest: 'image.igvm.json', outputPath: 'dist' });
  });

  it('does not depend on the order of the files', async () => {
    expect(await workspace.infer([...files].reverse())).toEqual(await workspace.infer(files));
  });
});
