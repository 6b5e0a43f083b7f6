import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { needing } from '../../boot/needing.fixture';
import { cpioMembers } from '../cpio-newc.fixture';
import { packInitrd } from '../pack-initrd';
import {
  APP,
  archiveOf,
  dockerOf,
  layoutOf,
  sha256,
  tarOf,
  type TarEntry,
  type TestImage,
  writeParts,
} from './image.fixture';
import { failureOf, folder, layersOf, output, pack, packLayout } from './packing.fixture';

describe('packing a container image', () => {
  const image = async (): Promise<TestImage> => ({
    layers: await layersOf(
      [
        APP,
        { name: 'etc/secret', content: 'old', mode: 0o600, uid: 5, gid: 6, mtime: new Date(1_700_000_000_000) },
        { name: 'var', type: 'directory', mode: 0o1777 },
        { name: 'etc/hard', type: 'link', linkname: 'etc/secret' },
        { name: 'gone', content: 'x' },
      ],
      [
        { name: 'lib', type: 'symlink', linkname: '/usr/lib' },
        { name: '.wh.gone', content: '' },
      ],
    ),
  });

  it('keeps owners, modes, times, links and hard links, and adds our first program', async () => {
    const members = await packLayout(await image());
    const found = Object.fromEntries(
      members.map(({ path, mode, owner, group, time, content }) => [
        path,
        [mode.toString(8), owner, group, time, path === 'init' || path === '.guest/start' ? '' : content.toString()],
      ]),
    );
    expect(found).toEqual({
      '.guest': ['40755', 0, 0, 0, ''],
      '.guest/start': ['100644', 0, 0, 0, ''],
      bin: ['40755', 0, 0, 0, ''],
      'bin/app': ['100755', 0, 0, 0, '#!/bin/sh\n'],
      etc: ['40755', 0, 0, 0, ''],
      'etc/hard': ['100600', 5, 6, 1_700_000_000, ''],
      'etc/hosts': ['100644', 0, 0, 0, '127.0.0.1 localhost\n::1 localhost\n'],
      'etc/secret': ['100600', 5, 6, 1_700_000_000, 'old'],
      init: ['100755', 0, 0, 0, ''],
      lib: ['120777', 0, 0, 0, '/usr/lib'],
      var: ['41777', 0, 0, 0, ''],
    });
    const [hard, secret] = ['etc/hard', 'etc/secret'].map((path) => members.find((member) => member.path === path)!);
    expect([hard!.links, secret!.links]).toEqual([2, 2]);
    expect(hard!.serial).toBe(secret!.serial);
  });

  needing('cpio').it('writes hard links that cpio reads', async () => {
    await packLayout(await image());
    const unpacked = join(folder, 'unpacked');
    mkdirSync(unpacked);
    const { status, stderr } = spawnSync('cpio', ['-idm', '--no-absolute-filenames'], {
      cwd: unpacked,
      input: readFileSync(output()),
      encoding: 'utf8',
    });
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(readFileSync(join(unpacked, 'etc/hard'), 'utf8')).toBe('old');
    expect(readFileSync(join(unpacked, 'etc/secret'), 'utf8')).toBe('old');
  });

  it('gives the same result for a layout, its archive, a docker archive and a compressed archive', async () => {
    const made = await image();
    const parts = layoutOf(made);
    writeParts(join(folder, 'image'), parts);
    writeFileSync(join(folder, 'oci.tar'), await archiveOf(parts));
    writeFileSync(join(folder, 'docker.tar'), await archiveOf(dockerOf(made)));
    writeFileSync(join(folder, 'docker.tar.gz'), gzipSync(await archiveOf(dockerOf(made))));
    const archives: Buffer[] = [];
    for (const name of ['image', 'oci.tar', 'docker.tar', 'docker.tar.gz']) {
      await pack(name);
      archives.push(readFileSync(output()));
    }
    expect(archives.map((archive) => archive.equals(archives[0]!))).toEqual([true, true, true, true]);
  });

  it('follows links between the layers of a docker archive, as older versions of docker write them', async () => {
    const [layer] = await layersOf([APP]);
    const parts = dockerOf({ layers: [layer!] });
    const bytes = parts.get('layer-0/layer.tar')!;
    parts.delete('layer-0/layer.tar');
    const entries: TarEntry[] = [...parts].map(([name, content]) => ({ name, content }));
    entries.push({ name: 'layer-0/layer.tar', type: 'symlink', linkname: '../other/layer.tar' });
    entries.push({ name: 'other/layer.tar', content: bytes });
    writeFileSync(join(folder, 'docker.tar'), await tarOf(entries));
    expect((await pack('docker.tar')).map(({ path }) => path)).toContain('bin/app');
  });

  it.each([
    ['gzip', 'application/vnd.oci.image.layer.v1.tar+gzip', gzipSync],
    ['gzip, with the media type of docker', 'application/vnd.docker.image.rootfs.diff.tar.gzip', gzipSync],
    ['nothing', 'application/vnd.oci.image.layer.v1.tar', (archive: Uint8Array) => archive],
  ])('unpacks layers that are compressed with %s', async (_, mediaType, stored) => {
    const members = await packLayout({ layers: await layersOf([APP]), mediaType, stored });
    expect(members.map(({ path }) => path)).toContain('bin/app');
  });

  it('accepts a layer without the final blocks of an archive, even with an incomplete last block', async () => {
    const [layer] = await layersOf([APP]);
    const end = layer!.indexOf('#!/bin/sh\n') + '#!/bin/sh\n'.length;
    const members = await packLayout({ layers: [layer!.subarray(0, end)] });
    expect(members.find(({ path }) => path === 'bin/app')!.content.toString()).toBe('#!/bin/sh\n');
  });

  const zstd = (archive: Uint8Array, ...options: string[]): Uint8Array =>
    spawnSync('zstd', ['-qc', ...options], { input: archive, maxBuffer: 2 ** 28 }).stdout;
  const ZSTD = 'application/vnd.oci.image.layer.v1.tar+zstd';

  needing('zstd').it(
    'unpacks layers that are compressed with zstd, in one or several frames, and with skippable frames',
    async () => {
      const big = Buffer.alloc(3_000_000, 'some text that can be compressed. ');
      for (let at = 0; at < big.length; at += 7919) big[at] = at;
      const [layer] = await layersOf([APP, { name: 'big', content: big }]);
      const skippable = Buffer.concat([Buffer.from('5e2a4d1803000000', 'hex'), Buffer.from('abc')]);
      const many = (archive: Uint8Array): Uint8Array => {
        const frames: Uint8Array[] = [skippable];
        for (let at = 0; at < archive.length; at += 100_000)
          frames.push(zstd(archive.subarray(at, at + 100_000)), skippable);
        return Buffer.concat(frames);
      };
      for (const stored of [zstd, (archive: Uint8Array) => zstd(archive, '--no-check', '-1'), many]) {
        const members = await packLayout({ layers: [layer!], mediaType: ZSTD, stored });
        expect(members.find(({ path }) => path === 'big')!.content.equals(big)).toBe(true);
      }
    },
  );

  needing('zstd').it('refuses a zstd layer that needs too much memory', async () => {
    const huge = await layersOf([APP, { name: 'big', content: Buffer.alloc(2 ** 20) }]);
    const stored = (archive: Uint8Array): Uint8Array => {
      const bytes = Buffer.from(zstd(archive, '--long=27', '--no-content-size'));
      // A window of 2 GiB.
      bytes[5] = (31 - 10) << 3;
      return bytes;
    };
    const error = await failureOf(packLayout({ layers: huge, mediaType: ZSTD, stored }));
    expect(error).toMatchObject({
      code: 'CONTAINER_LAYER',
      message: expect.stringMatching(/2147483648 bytes of memory/),
    });
  });

  it('puts the folder over the image, so that its files replace those of the image', async () => {
    mkdirSync(join(folder, 'rootfs/etc'), { recursive: true });
    writeFileSync(join(folder, 'rootfs/etc/secret'), 'new');
    writeFileSync(join(folder, 'rootfs/etc/hosts'), 'mine');
    const members = await packLayout(await image(), { folder: join(folder, 'rootfs') });
    const content = (name: string) => members.find(({ path }) => path === name)!.content.toString();
    expect([content('etc/secret'), content('etc/hard'), content('etc/hosts')]).toEqual(['new', 'old', 'mine']);
    mkdirSync(join(folder, 'rootfs/lib'));
    rmSync(join(folder, 'out'), { recursive: true });
    const error = await failureOf(packLayout(await image(), { folder: join(folder, 'rootfs') }));
    expect(error).toMatchObject({ code: 'INITRD_ENTRY', message: expect.stringMatching(/link to "\/usr\/lib"/) });
  });

  it('selects one of several images by its tag', async () => {
    const [one, two] = [
      { layers: await layersOf([APP, { name: 'one' }]) },
      { layers: await layersOf([APP, { name: 'two' }]) },
    ];
    const parts = layoutOf(one, { annotations: { 'org.opencontainers.image.ref.name': 'first' } });
    const other = layoutOf(two, { annotations: { 'org.opencontainers.image.ref.name': 'host/second:1.2' } });
    const manifests = [parts, other].flatMap(
      (each) => (JSON.parse(Buffer.from(each.get('index.json')!).toString()) as { manifests: object[] }).manifests,
    );
    writeParts(
      join(folder, 'image'),
      new Map([...parts, ...other, ['index.json', Buffer.from(JSON.stringify({ manifests }))]]),
    );
    const has = async (more: object): Promise<string[]> =>
      (await pack('image', more)).map(({ path }) => path).filter((path) => ['one', 'two'].includes(path));
    expect(await has({ tag: 'first' })).toEqual(['one']);
    expect(await has({ tag: '1.2' })).toEqual(['two']);
    expect(await has({ tag: 'host/second:1.2' })).toEqual(['two']);
    rmSync(join(folder, 'out'), { recursive: true });
    expect((await failureOf(pack('image'))).message).toMatch(/has 2 images: select one .*"first", "host\/second:1.2"/);
    expect((await failureOf(pack('image', { tag: 'third' }))).message).toMatch(/no image named "third"/);
  });

  it('selects an image by the processor, and ignores attestations', async () => {
    const platform = (architecture: string, os = 'linux') => ({ platform: { architecture, os } });
    const layers = await layersOf([APP]);
    const x64 = layoutOf({ layers }, platform('amd64'));
    const arm = layoutOf({ layers, configuration: { architecture: 'arm64' } }, platform('arm64'));
    const about = layoutOf({ layers: await layersOf([{ name: 'about' }]) }, platform('unknown', 'unknown'));
    const index = [x64, arm, about].flatMap(
      (each) => (JSON.parse(Buffer.from(each.get('index.json')!).toString()) as { manifests: object[] }).manifests,
    );
    const nested = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: index }));
    const top = {
      manifests: [
        { mediaType: 'application/vnd.oci.image.index.v1+json', digest: sha256(nested), size: nested.length },
      ],
    };
    const parts = new Map([...x64, ...arm, ...about]);
    parts.set(`blobs/${sha256(nested).replace(':', '/')}`, nested);
    parts.set('index.json', Buffer.from(JSON.stringify(top)));
    writeParts(join(folder, 'image'), parts);
    const initOf = async (init: string): Promise<number> => {
      await packInitrd({
        image: { path: join(folder, 'image') },
        init: init as 'x64',
        output: output(),
        compression: 'none',
      });
      return cpioMembers(readFileSync(output())).find(({ path }) => path === 'init')!.content[18]!;
    };
    expect([await initOf('x64'), await initOf('aarch64')]).toEqual([62, 183]);
    rmSync(join(folder, 'out'), { recursive: true });
    expect((await failureOf(pack('image'))).message).toMatch(/has 2 images/);
  });
});
