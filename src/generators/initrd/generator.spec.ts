import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readJson, readProjectConfiguration, type Tree } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { initrdSchema } from '../../initrd/initrd-schema';
import { initrdGenerator, isStaticExecutable } from './generator';

let tree: Tree;
let home: string;
beforeEach(() => {
  tree = createTreeWithEmptyWorkspace({ formatter: 'none' });
  home = mkdtempSync(join(tmpdir(), 'initrd-generator-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

/** An ELF header and one program header. */
function elf(programHeaderType: number): Buffer {
  const bytes = Buffer.alloc(64 + 56);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(1, 56);
  bytes.writeUInt32LE(programHeaderType, 64);
  return bytes;
}

function file(content: Buffer): string {
  const path = join(home, 'busybox');
  writeFileSync(path, content);
  return path;
}

describe('initrd', () => {
  it('creates a project with a folder, and a list of entries that version control can’t hold', async () => {
    await initrdGenerator(tree, { name: 'boot/initrd', compression: 'gzip', tags: 'guest' });
    expect(readProjectConfiguration(tree, 'initrd')).toMatchObject({ root: 'boot/initrd', tags: ['guest'] });
    const config = readJson(tree, 'boot/initrd/initrd.json');
    expect(config).toMatchObject({
      $schema: '../../node_modules/nx-igvm/schemas/initrd.schema.json',
      folder: 'rootfs',
      compression: 'gzip',
    });
    expect(tree.read('boot/initrd/README.md', 'utf8')).toContain('"path": "dist/boot/initrd/initrd.cpio.gz"');
  });

  it.each(['x64', 'aarch64'] as const)(
    'adds a first program for %s without a binary in the workspace',
    async (arch) => {
      await initrdGenerator(tree, { name: 'initrd', arch });
      expect(readJson(tree, 'initrd/initrd.json')).toMatchObject({ init: arch, modes: {} });
      expect(tree.children('initrd/rootfs')).toEqual(['.gitkeep']);
      expect(tree.read('initrd/README.md', 'utf8')).toContain(`"init": "${arch}"`);
    },
  );

  it('passes the check of initrd.json', async () => {
    await initrdGenerator(tree, { name: 'initrd' });
    const exact = JSON.parse(tree.read('initrd/initrd.json', 'utf8') ?? '', (_, value: unknown) =>
      typeof value === 'number' ? BigInt(value) : value,
    );
    expect(initrdSchema.safeParse(exact).error).toBeUndefined();
  });

  it('copies a busybox and makes it executable', async () => {
    const busybox = elf(1);
    await initrdGenerator(tree, { name: 'initrd', busybox: file(busybox) });
    expect(tree.read('initrd/rootfs/bin/busybox')?.equals(busybox)).toBe(true);
    expect(tree.listChanges().find(({ path }) => path.endsWith('busybox'))?.options).toEqual({ mode: 0o755 });
    expect(tree.read('initrd/rootfs/init', 'utf8')).toMatch(/^#!\/bin\/busybox sh\n/);
    const config = readJson(tree, 'initrd/initrd.json');
    expect(config.modes).toEqual({ '/init': '755', '/bin/busybox': '755' });
    expect(config).not.toHaveProperty('init');
    expect(tree.read('initrd/README.md', 'utf8')).not.toContain('"init"');
  });

  it('refuses a busybox that is dynamically linked, not a program, or missing', async () => {
    const refused = (busybox: string): Promise<void> =>
      expect(initrdGenerator(tree, { name: 'initrd', busybox })).rejects.toThrow(/--busybox: .*\[GENERATOR_OPTION\]/);
    await refused(file(elf(3)));
    await refused(file(Buffer.from('#!/bin/sh\n')));
    await refused(join(home, 'nothing'));
  });

  it('keeps the content of an existing folder', async () => {
    tree.write('initrd/rootfs/init', '#!/bin/sh\n');
    tree.write('initrd/README.md', 'ours');
    await initrdGenerator(tree, { name: 'initrd' });
    expect(tree.read('initrd/rootfs/init', 'utf8')).toBe('#!/bin/sh\n');
    expect(tree.read('initrd/README.md', 'utf8')).toBe('ours');
    expect(readJson(tree, 'initrd/initrd.json')).toMatchObject({ modes: { '/init': '755' } });
    expect(readJson(tree, 'initrd/initrd.json')).not.toHaveProperty('init');
    tree.write('second/rootfs/bin/busybox', 'ours');
    await expect(initrdGenerator(tree, { name: 'second', busybox: file(elf(1)) })).rejects.toThrow(
      'second/rootfs/bin/busybox: this file already exists',
    );
  });

  it.each(['igvm.json', 'one.igvm.json'])(
    'leaves the name `build` to an image in the same folder: %s',
    async (image) => {
      tree.write(`initrd/${image}`, '{}');
      await initrdGenerator(tree, { name: 'initrd' });
      const readme = tree.read('initrd/README.md', 'utf8');
      expect(readme).toContain('nx initrd initrd   # writes');
      expect(readme).toContain('"project": "initrd", "target": "initrd"');
    },
  );

  it('never overwrites an initramfs', async () => {
    await initrdGenerator(tree, { name: 'initrd' });
    await expect(initrdGenerator(tree, { name: 'initrd' })).rejects.toThrow(
      'initrd/initrd.json: this file already exists',
    );
  });
});

describe('initrd with a container image', () => {
  beforeEach(() => {
    const outputs = ['{workspaceRoot}/dist/app/app.tar', '{workspaceRoot}/dist/app/oci'];
    tree.write(
      'app/project.json',
      JSON.stringify({
        name: 'app',
        targets: {
          docker: { executor: 'nx:run-commands', outputs: ['{workspaceRoot}/dist/other.tar'] },
          'docker:build': { executor: 'nx:run-commands', outputs },
          pack: { executor: 'nx:run-commands', outputs: ['{workspaceRoot}/dist/pack.tar'] },
        },
      }),
    );
    tree.write('images/app.tar', 'archive');
    tree.write('images/oci/index.json', '{}');
  });

  it.each([
    ['images/app.tar', '{workspaceRoot}/images/app.tar'],
    ['images/oci', '{workspaceRoot}/images/oci'],
    ['./images/oci/', '{workspaceRoot}/images/oci'],
    ['app:pack', { project: 'app', target: 'pack', path: 'dist/pack.tar' }],
    ['app:docker:build:dist/app/app.tar', { project: 'app', target: 'docker:build', path: 'dist/app/app.tar' }],
    ['app:docker:build:dist/app/oci', { project: 'app', target: 'docker:build', path: 'dist/app/oci' }],
    ['app:docker', { project: 'app', target: 'docker', path: 'dist/other.tar' }],
  ])('accepts %s', async (image, expected) => {
    await initrdGenerator(tree, { name: 'guest', image });
    const config = readJson(tree, 'guest/initrd.json');
    expect(config).toEqual({
      $schema: '../node_modules/nx-igvm/schemas/initrd.schema.json',
      image: expected,
      compression: 'none',
    });
    expect(initrdSchema.safeParse(config).success).toBe(true);
    expect(tree.exists('guest/rootfs')).toBe(false);
    expect(tree.read('guest/README.md', 'utf8')).toContain('container image');
  });

  it('names one of several images, and the architecture', async () => {
    await initrdGenerator(tree, { name: 'guest', image: 'images/app.tar', tag: '1.2', arch: 'aarch64' });
    expect(readJson(tree, 'guest/initrd.json')).toMatchObject({
      image: { path: '{workspaceRoot}/images/app.tar', tag: '1.2' },
      init: 'aarch64',
    });
  });

  it.each([
    ['a target with several outputs', { image: 'app:docker:build' }, /write app:docker:build:PATH/],
    [
      'a file that its target does not write',
      { image: 'app:docker:build:dist/none.tar' },
      /not an output of app:docker:build/,
    ],
    ['a target that does not exist', { image: 'app:none' }, /no target "none"/],
    ['a busybox as well', { image: 'images/app.tar', busybox: 'x' }, /has its own programs/],
    ['a tag without an image', { tag: '1.2' }, /not given/],
  ])('refuses %s', async (_, options, message) => {
    await expect(initrdGenerator(tree, { name: 'guest', ...options })).rejects.toThrow(message);
    expect(tree.exists('guest/initrd.json')).toBe(false);
  });
});

describe('recognizing static programs', () => {
  it.each([
    ['without an interpreter', elf(1), true],
    ['with one', elf(3), false],
    ['cut off', elf(1).subarray(0, 60), false],
    ['cut off in its program headers', elf(1).subarray(0, 66), false],
    ['that is not an ELF file', Buffer.from('hello'), false],
  ])('a program %s', (_, bytes, expected) => {
    expect(isStaticExecutable(bytes)).toBe(expected);
  });
});
