import { readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { IgvmError } from '../../errors/igvm-error';
import { APP, archiveOf, layoutOf, sha256, tarOf, type TarEntry, writeParts } from './image.fixture';
import { failureOf, folder, layersOf, pack, packLayout } from './packing.fixture';

describe('packing a hostile or damaged container image', () => {
  const entries: [string, TarEntry[], RegExp][] = [
    ['a path that leads out of the image', [{ name: '../../etc/passwd', content: 'x' }], /".."/],
    ['an absolute path', [{ name: '/etc/passwd', content: 'x' }], /begins with/],
    ['a hard link that leads out of the image', [{ name: 'a', type: 'link', linkname: '../../etc/shadow' }], /".."/],
    ['an absolute hard link', [{ name: 'a', type: 'link', linkname: '/etc/shadow' }], /begins with/],
    ['a block device', [{ name: 'dev/sda', type: 'block-device', devmajor: 8, devminor: 0 }], /a device node/],
    ['a character device', [{ name: 'dev/mem', type: 'character-device', devmajor: 1, devminor: 1 }], /a device node/],
    ['a named pipe', [{ name: 'pipe', type: 'fifo' }], /a named pipe/],
    [
      'a circular link',
      [
        { name: 'l', type: 'symlink', linkname: 'l' },
        { name: 'l/a', content: 'x' },
      ],
      /circle/,
    ],
    ['a name that marks the end of an archive', [{ name: 'TRAILER!!!', content: 'x' }], /end of an archive/],
    ['a name that is too long', [{ name: 'x'.repeat(300), content: 'x' }], /more than 255 bytes/],
  ];
  it.each(entries)('refuses %s', async (_, layer, message) => {
    const error = await failureOf(packLayout({ layers: await layersOf([APP, ...layer]) }));
    expect(error.code).toMatch(/CONTAINER_LAYER|INITRD_ENTRY/);
    expect(error.message).toMatch(message);
    expect(error.where.file).toContain(folder);
  });

  it('allows links to any path, because only the guest follows them', async () => {
    const members = await packLayout({
      layers: await layersOf(
        [APP, { name: 'l', type: 'symlink', linkname: '/etc' }],
        [{ name: 'l/passwd', content: 'guest' }],
      ),
    });
    expect(members.find(({ path }) => path === 'etc/passwd')!.content.toString()).toBe('guest');
  });

  it('refuses a file of 8 GiB before its content is unpacked', async () => {
    const [layer] = await layersOf([APP, { name: 'zeros', content: 'x' }]);
    const bytes = Buffer.from(layer!);
    // In the header of the second entry, the size, and a matching checksum.
    const header = bytes.subarray(bytes.indexOf('zeros'));
    header.write('77777777777\0', 124, 'latin1');
    header.write('        ', 148, 'latin1');
    const sum = header.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    const error = await failureOf(packLayout({ layers: [bytes] }));
    expect(error).toMatchObject({
      code: 'CONTAINER_LAYER',
      message: expect.stringMatching(/"zeros" has \d{10,} bytes/),
    });
  });

  const parts = async (): Promise<Map<string, Uint8Array>> => layoutOf({ layers: await layersOf([APP]) });
  const change = async (name: RegExp, how: (bytes: Buffer) => Uint8Array): Promise<IgvmError> => {
    const all = await parts();
    const [found] = [...all].filter(([, bytes]) => name.test(Buffer.from(bytes).toString('latin1')));
    all.set(found![0], how(Buffer.from(found![1])));
    writeParts(join(folder, 'image'), all);
    return failureOf(pack());
  };
  const flipped = (bytes: Buffer): Buffer => {
    const copy = Buffer.from(bytes);
    copy[copy.length - 2]! ^= 1;
    return copy;
  };

  it.each([
    ['a layer', /^.\u008b/],
    ['its configuration', /"rootfs"/],
    ['its manifest', /"layers":/],
  ])('refuses a wrong digest of %s', async (_, name) => {
    expect(await change(name, flipped)).toMatchObject({ code: 'CONTAINER_DIGEST' });
  });

  it('refuses a layer that unpacks to another archive than the configuration states', async () => {
    const [layer, other] = await layersOf([APP], [APP, { name: 'other' }]);
    const error = await failureOf(packLayout({ layers: [layer!], stored: () => gzipSync(other!) }));
    expect(error).toMatchObject({ code: 'CONTAINER_DIGEST', message: expect.stringContaining('unpacks to a layer') });
  });

  it.each([
    ['incomplete JSON', (bytes: Buffer) => bytes.subarray(0, -5), 'CONTAINER_IMAGE'],
    ['brackets that are never closed', () => Buffer.alloc(100_000, '['), 'CONTAINER_IMAGE'],
    ['no manifests', () => Buffer.from('{}'), 'CONTAINER_IMAGE'],
    ['invalid manifests', () => Buffer.from('{"manifests":[1,null,"a"]}'), 'CONTAINER_IMAGE'],
    ['an empty list of manifests', () => Buffer.from('{"manifests":[]}'), 'CONTAINER_IMAGE'],
    ['five million bytes', () => Buffer.alloc(5_000_000, ' '), 'CONTAINER_IMAGE'],
    [
      'a digest that is a path',
      () => Buffer.from('{"manifests":[{"digest":"sha256:../../../etc/passwd","size":1}]}'),
      'CONTAINER_IMAGE',
    ],
    [
      'a part that does not exist',
      () => Buffer.from(`{"manifests":[{"digest":"sha256:${'0'.repeat(64)}","size":1}]}`),
      'CONTAINER_IMAGE',
    ],
  ])('refuses an index with %s', async (_, content, code) => {
    expect(await change(/"manifests"/, content)).toMatchObject({ code });
  });

  it('refuses indexes that are nested too deeply', async () => {
    // A chain of indexes, because no index can contain its own digest.
    const all = await parts();
    let index = Buffer.from(all.get('index.json')!);
    for (let depth = 0; depth < 6; depth++) {
      const digest = sha256(index);
      all.set(`blobs/${digest.replace(':', '/')}`, index);
      const mediaType = 'application/vnd.oci.image.index.v1+json';
      index = Buffer.from(JSON.stringify({ manifests: [{ mediaType, digest, size: index.length }] }));
    }
    all.set('index.json', index);
    writeParts(join(folder, 'image'), all);
    expect((await failureOf(pack())).message).toMatch(/nested too deeply/);
  });

  it.each([
    ['for Windows', { os: 'windows' }, /for windows/],
    ['for another processor', { architecture: 's390x' }, /"s390x"/],
    ['of other layers', { rootfs: { diff_ids: [] } }, /describes 0 layers/],
    ['of layers without digests', { rootfs: { diff_ids: ['x'] } }, /"x" instead of a digest/],
    ['with a command that is not a list', { config: { Entrypoint: 'sh -c' } }, /config.Entrypoint/],
    ['with a NUL character in its environment', { config: { Env: ['A=\0'] } }, /config.Env/],
  ])('refuses a configuration %s', async (_, configuration, message) => {
    const error = await failureOf(packLayout({ layers: await layersOf([APP]), configuration }));
    expect(error).toMatchObject({ code: 'CONTAINER_IMAGE', message: expect.stringMatching(message) });
  });

  it.each([
    ['is encrypted', 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted'],
    ['has an unknown media type', 'application/octet-stream'],
  ])('refuses a layer that %s', async (_, mediaType) => {
    const error = await failureOf(packLayout({ layers: await layersOf([APP]), mediaType }));
    expect(error).toMatchObject({ code: 'CONTAINER_IMAGE', message: expect.stringContaining(mediaType) });
  });

  it.each([
    ['ends within a header', (archive: Buffer) => archive.subarray(0, 300)],
    ['ends within a file', (archive: Buffer) => archive.subarray(0, 520)],
    ['is not an archive', () => Buffer.alloc(2048, 'x')],
  ])('refuses a layer that %s', async (_, archive) => {
    const [layer] = await layersOf([APP]);
    const error = await failureOf(packLayout({ layers: [archive(layer!)] }));
    expect(error).toMatchObject({
      code: 'CONTAINER_LAYER',
      message: expect.stringMatching(/not a readable tar archive/),
    });
  });

  it.each([
    ['an empty file', Buffer.alloc(0)],
    ['text', Buffer.from('text')],
    ['a damaged gzip file', Buffer.from('1f8b0800deadbeef', 'hex')],
    ['an archive without an image', undefined],
  ])('refuses %s as an image', async (_, bytes) => {
    writeFileSync(join(folder, 'image'), bytes ?? (await tarOf([{ name: 'a', content: 'x' }])));
    expect(await failureOf(pack())).toMatchObject({ code: 'CONTAINER_IMAGE', where: { file: join(folder, 'image') } });
  });

  it('refuses a layout with links instead of files', async () => {
    writeParts(join(folder, 'image'), await parts());
    const index = join(folder, 'image', 'index.json');
    writeFileSync(join(folder, 'elsewhere'), readFileSync(index));
    rmSync(index);
    symlinkSync(join(folder, 'elsewhere'), index);
    expect(await failureOf(pack())).toMatchObject({
      code: 'CONTAINER_IMAGE',
      message: expect.stringMatching(/is a link/),
    });
  });

  it('refuses an archive with another digest than the pinned one', async () => {
    writeFileSync(join(folder, 'image'), await archiveOf(await parts()));
    expect(await failureOf(pack('image', { sha256: '0'.repeat(64) }))).toMatchObject({ code: 'RESOURCE_DIGEST' });
  });

  it('needs a choice between the first program of an image and ours', async () => {
    const layers = await layersOf([APP, { name: 'init', content: '#!/bin/sh\n', mode: 0o755 }]);
    expect(await failureOf(packLayout({ layers }))).toMatchObject({
      message: expect.stringMatching(/set "init" to "none"/),
    });
    const members = await packLayout({ layers }, { init: 'none' });
    expect(members.map(({ path }) => path)).toEqual(['bin', 'bin/app', 'init']);
  });
});
