import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readJson, readProjectConfiguration, type Tree, updateJson } from '@nx/devkit';
import { logger } from '../../plugin/workspace-nx';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { parseManifest } from '../../manifest/load-manifest';
import { guestImageGenerator, type GuestImageGeneratorSchema } from './generator';

let tree: Tree;
beforeEach(() => {
  tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
});

/** A project in the tree, which Nx doesn't know yet. */
const addProject = (name: string, targets: object = {}, root = name): void =>
  tree.write(`${root}/project.json`, JSON.stringify({ name, targets }));
const builds = (...outputs: string[]): object => ({ build: { executor: 'nx:run-commands', outputs } });

let warnings: jest.SpyInstance<void, [string]>;
beforeEach(() => {
  warnings = jest.spyOn(logger, 'warn').mockImplementation(() => {});
});
afterEach(() => warnings.mockRestore());

const manifestText = (root: string): string => tree.read(`${root}/igvm.json`, 'utf8') ?? '';
const generate = async (options: Partial<GuestImageGeneratorSchema> = {}): Promise<ReturnType<typeof parsed>> => {
  const { name = 'my-image' } = options;
  await guestImageGenerator(tree, { ...options, name });
  return parsed(options.directory ?? name);
};
const parsed = (root: string) => parseManifest(manifestText(root), 'igvm.json', { strict: true }).manifest;

describe('guest-image with a direct Linux image', () => {
  it('writes the manifest of a native guest with embedded boot data', async () => {
    await generate();
    expect(readJson(tree, 'my-image/igvm.json')).toEqual({
      $schema: '../node_modules/nx-igvm/schemas/igvm.schema.json',
      guest_arch: 'x64',
      guest_configs: [
        {
          guest_svn: 1,
          max_vtl: 0,
          isolation_type: 'none',
          image: {
            linux: {
              use_initrd: true,
              command_line: 'console=ttyS0 panic=-1',
              boot_data: 'embedded',
              memory_size: 536870912,
            },
          },
        },
      ],
      resources: { linux_kernel: 'boot/vmlinuz', linux_initrd: 'boot/initrd.cpio' },
    });
  });

  it('uses every option', async () => {
    addProject('initrd', builds('{workspaceRoot}/dist/{projectRoot}'));
    const manifest = await generate({
      directory: 'images/one',
      kernel: '/boot/vmlinuz-6.1.0',
      initrd: 'initrd:build:dist/initrd/initrd.cpio',
      commandLine: 'console=hvc0 quiet',
      memorySize: '1G',
      bootData: 'vmm',
      isolation: ['vbs'],
      debug: true,
    });
    expect(manifest.guest_configs).toEqual([
      {
        guest_svn: 1,
        max_vtl: 0,
        isolation_type: { vbs: { enable_debug: true } },
        image: {
          linux: { use_initrd: true, command_line: 'console=hvc0 quiet', boot_data: 'vmm', memory_size: 2 ** 30 },
        },
      },
    ]);
    expect(manifest.resources).toEqual({
      linux_kernel: '/boot/vmlinuz-6.1.0',
      linux_initrd: { project: 'initrd', target: 'build', path: 'dist/initrd/initrd.cpio' },
    });
  });

  it('works without an initrd', async () => {
    const manifest = await generate({ initrd: 'none', processorCount: 4 });
    expect(manifest.resources).toEqual({ linux_kernel: 'boot/vmlinuz' });
    expect(manifest.guest_configs[0]?.image).toMatchObject({ linux: { use_initrd: false, processor_count: 4 } });
  });

  it('names a file of the workspace by a path that works in every clone, with special characters escaped', async () => {
    tree.write('binaries/vmlinuz [6.1]', '');
    tree.write('my-image/boot/initrd{1}', '');
    const manifest = await generate({ kernel: 'binaries/vmlinuz [6.1]', initrd: './my-image/boot/initrd{1}' });
    expect(manifest.resources).toEqual({
      linux_kernel: '{workspaceRoot}/binaries/vmlinuz \\[6.1\\]',
      linux_initrd: 'boot/initrd\\{1\\}',
    });
  });

  it('names the output in the README, even if the project has another name', async () => {
    await generate({ name: 'one', directory: 'images/other', memorySize: 536870912 });
    expect(tree.read('images/other/README.md', 'utf8')).toContain(
      'nx build one   # writes dist/images/other/other.igvm\n',
    );
    await guestImageGenerator(tree, { name: '@acme/two' });
    expect(tree.read('two/README.md', 'utf8')).toContain('nx build @acme/two   # writes dist/two/two.igvm\n');
  });

  it.each<[Partial<GuestImageGeneratorSchema>, string]>([
    [{ processorCount: 255 }, 'processor_count'],
    [{ type: 'snp-linux-direct', memorySize: '4G' }, 'memory_page_count'],
    [{ type: 'linux-paravisor', memorySize: '4G' }, 'memory_page_count'],
    [{ commandLine: 'a\0b' }, 'command_line'],
  ])('refuses options that no build would accept: %j', async (options, key) => {
    await expect(generate(options)).rejects.toThrow(new RegExp(`a valid manifest: .*${key}`));
    expect(tree.exists('my-image')).toBe(false);
  });

  it('uses the output of a project with a name of one letter, and refuses an incomplete reference', async () => {
    addProject('k', builds('{workspaceRoot}/dist/k'));
    const manifest = await generate({ kernel: 'k:build:dist/k/vmlinuz' });
    expect(manifest.resources?.linux_kernel).toEqual({ project: 'k', target: 'build', path: 'dist/k/vmlinuz' });
    await expect(generate({ name: 'second', initrd: 'initrd:build' })).rejects.toThrow(
      'initrd: the workspace has no project "initrd"',
    );
  });

  it.each([
    ['initrd', 'packages/initrd', {}, 'build', 'initrd.cpio'],
    ['initrd:build', 'images/ramdisk', { compression: 'gzip' }, 'build', 'initrd.cpio.gz'],
    ['@acme/initrd', 'packages/initrd', { compression: 'zstd' }, 'build', 'initrd.cpio.zst'],
  ])('uses the output of %s in %s', async (value, root, config, target, file) => {
    addProject(value.replace(/:.*/, ''), {}, root);
    tree.write(`${root}/initrd.json`, JSON.stringify(config));
    const { resources } = await generate({ initrd: value });
    const project = value.replace(/:.*/, '');
    expect(resources?.linux_initrd).toEqual({ project, target, path: `dist/${root}/${file}` });
  });

  it('uses the target that packs an initramfs beside an image, and the only output of any other target', async () => {
    addProject('both');
    tree.write('both/initrd.json', '{}');
    tree.write('both/igvm.json', '{}');
    addProject('kernel', builds('{workspaceRoot}/out/vmlinux'));
    const { resources } = await generate({ initrd: 'both', kernel: 'kernel' });
    expect(resources).toEqual({
      linux_kernel: { project: 'kernel', target: 'build', path: 'out/vmlinux' },
      linux_initrd: { project: 'both', target: 'initrd', path: 'dist/both/initrd.cpio' },
    });
  });

  it.each([
    ['initrd:bild', 'initrd: the project "initrd" has no target "bild"; did you mean "build"?'],
    ['initrdd', 'initrd: there is no project or file "initrdd"; did you mean "initrd"?'],
    ['initrdd:build:dist/a', 'initrd: the workspace has no project "initrdd"; did you mean "initrd"?'],
    ['initrd:build:dist/b.cpio', 'initrd: "dist/b.cpio" is not an output of initrd:build; it declares dist/a.cpio'],
    ['folder', 'folder:build declares dist/folder: write folder:build:PATH for the file among them'],
    ['several', 'several:build declares dist/a.cpio, dist/b.cpio: write several:build:PATH'],
    ['~/initrd.cpio', '"~" is not expanded: write the whole path'],
    ['$HOME/initrd.cpio', '"$HOME" is not expanded: write the whole path'],
  ])('refuses the initrd %s, and writes nothing', async (initrd, message) => {
    addProject('initrd', builds('{workspaceRoot}/dist/a.cpio'));
    addProject('folder', builds('{workspaceRoot}/dist/folder'));
    addProject('several', builds('{workspaceRoot}/dist/a.cpio', '{workspaceRoot}/dist/b.cpio'));
    await expect(generate({ initrd })).rejects.toThrow(message);
    expect(tree.exists('my-image')).toBe(false);
  });

  it('warns about files that do not exist yet, and suggests similar names', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kernels-'));
    try {
      writeFileSync(join(folder, 'vmlinuz-6.1.0-50-amd64'), '');
      await generate({ kernel: `${folder}/vmlinuz-6.1.0-44-amd64`, initrd: 'boot/later.cpio' });
    } finally {
      rmSync(folder, { recursive: true });
    }
    expect(warnings.mock.calls.flat()).toEqual([
      `kernel: ${folder}/vmlinuz-6.1.0-44-amd64 does not exist yet; that folder has "vmlinuz-6.1.0-50-amd64"; the build needs it`,
      'initrd: my-image/boot/later.cpio does not exist yet; the build needs it',
    ]);
  });

  it('does not warn about files that exist', async () => {
    tree.write('my-image/boot/vmlinuz', '');
    await generate({ kernel: process.execPath, initrd: 'boot/vmlinuz' });
    expect(warnings).not.toHaveBeenCalled();
  });

  it('leaves the memory to the VMM on aarch64, and notes that no VMM boots it yet', async () => {
    const manifest = await generate({ arch: 'aarch64' });
    expect(manifest.guest_configs[0]?.image).toEqual({
      linux: { use_initrd: true, command_line: 'console=ttyAMA0 panic=-1', boot_data: 'vmm' },
    });
    expect(manifest.resources?.linux_kernel).toBe('boot/Image');
    const readme = tree.read('my-image/README.md', 'utf8');
    expect(readme).toContain('no common VMM boots it yet');
    expect(readme).not.toContain('nx boot');
  });
});

describe('the project of guest-image', () => {
  it('has a project.json if the workspace has no packages', async () => {
    await generate({ tags: 'scope:os, type:image' });
    expect(readProjectConfiguration(tree, 'my-image')).toMatchObject({
      root: 'my-image',
      projectType: 'application',
      tags: ['scope:os', 'type:image'],
    });
    expect(tree.exists('my-image/package.json')).toBe(false);
  });

  it('is a package if the workspace has packages', async () => {
    updateJson(tree, 'package.json', (json) => ({ ...json, workspaces: ['images/*'] }));
    await generate({ directory: 'images/my-image', tags: 'a' });
    expect(readJson(tree, 'images/my-image/package.json')).toEqual({
      name: 'my-image',
      version: '0.0.1',
      private: true,
      nx: { tags: ['a'] },
    });
    expect(tree.exists('images/my-image/project.json')).toBe(false);
    expect(readJson(tree, 'package.json').workspaces).toEqual(['images/*']);
  });

  it('goes below the folder for packages by default, or into the list of packages', async () => {
    updateJson(tree, 'package.json', (json) => ({ ...json, workspaces: ['images/*'] }));
    await guestImageGenerator(tree, { name: 'one' });
    await guestImageGenerator(tree, { name: 'vm/two' });
    expect(tree.exists('images/one/igvm.json')).toBe(true);
    expect(readJson(tree, 'vm/two/package.json').name).toBe('two');
    expect(readJson(tree, 'package.json').workspaces).toEqual(['images/*', 'vm/two']);
  });

  it('keeps an existing project file, its name and a README', async () => {
    tree.write('svc/project.json', '{ "name": "service" }');
    tree.write('svc/README.md', 'mine');
    await guestImageGenerator(tree, { name: 'service', directory: 'svc' });
    expect(tree.read('svc/project.json', 'utf8')).toBe('{ "name": "service" }');
    expect(tree.read('svc/README.md', 'utf8')).toBe('mine');
    expect(tree.exists('svc/igvm.json')).toBe(true);
  });

  it.each([
    ['the name in package.json', { name: 'service' }, 'service'],
    ['the name in its nx block', { name: '@acme/service', nx: { name: 'service' } }, 'service'],
    ['the name of the folder', {}, 'svc'],
  ])('keeps a project.json without a name, and uses %s', async (_, manifest, name) => {
    tree.write('Svc/project.json', '{}');
    tree.write('Svc/package.json', JSON.stringify(manifest));
    await guestImageGenerator(tree, { name, directory: 'Svc' });
    expect(tree.read('Svc/project.json', 'utf8')).toBe('{}');
    expect(tree.read('Svc/README.md', 'utf8')).toContain(`nx build ${name} `);
  });

  it('keeps the content of a package.json without a name', async () => {
    updateJson(tree, 'package.json', (json) => ({ ...json, workspaces: ['svc'] }));
    tree.write('svc/package.json', JSON.stringify({ scripts: { a: 'b' }, nx: { targets: { c: {} } } }));
    await guestImageGenerator(tree, { name: 'service', directory: 'svc', tags: 'd' });
    expect(readJson(tree, 'svc/package.json')).toEqual({
      name: 'service',
      version: '0.0.1',
      private: true,
      scripts: { a: 'b' },
      nx: { tags: ['d'], targets: { c: {} } },
    });
  });

  it('reports that another target packs an initramfs in the same folder from now on', async () => {
    tree.write('svc/initrd.json', '{}');
    await guestImageGenerator(tree, { name: 'svc' });
    expect(warnings).toHaveBeenCalledWith(
      'svc:build now builds the image; the target that packs svc/initrd.json is now svc:initrd',
    );
  });

  it('never overwrites an image or takes the name of another project', async () => {
    await generate();
    await expect(generate()).rejects.toThrow('my-image/igvm.json: this file already exists');
    await expect(generate({ directory: 'elsewhere' })).rejects.toThrow('the project my-image already exists');
  });
});
