import { readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { IgvmError } from '../../errors/igvm-error';
import { APP, archiveOf, layoutOf, sha256, tarOf, type TarEntry, writeParts } from './image.fixture';
import { failureOf, folder, layersOf, pack, packLayout } from './packing.fixture';

describe('a container image that nobody should have', () => {
  const entries: [string, TarEntry[], RegExp][] = [
    ['a path that leads out of it', [{ name: '../../etc/passwd', content: 'x' }], /".."/],
    ['an absolute path', [{ name: '/etc/passwd', content: 'x' }], /begins with/],
    ['a hard link that leads out', [{ name: 'a', type: 'link', linkname: '../../etc/shadow' }], /".."/],
    ['an absolute hard link', [{ name: 'a', type: 'link', linkname: '/etc/shadow' }], /begins with/],
    ['a disk', [{ name: 'dev/sda', type: 'block-device', devmajor: 8, devminor: 0 }], /a device node/],
    ['a device', [{ name: 'dev/mem', type: 'character-device', devmajor: 1, devminor: 1 }], /a device node/],
    ['a pipe', [{ name: 'pipe', type: 'fifo' }], /a named pipe/],
    [
      'a circle of links',
      [
        { name: 'l', type: 'symlink', linkname: 'l' },
        { name: 'l/a', content: 'x' },
      ],
      /circle/,
    ],
    ['a name that marks the end of archives', [{ name: 'TRAILER!!!', content: 'x' }], /end of an archive/],
    ['a name that is too long', [{ name: 'x'.repeat(300), content: 'x' }], /more than 255 bytes/],
  ];
  it.each(entries)('with %s is refused', async (_, layer, message) => {
    const error = await failureOf(packLayout({ layers: await layersOf([APP, ...layer]) }));
    expect(error.code).toMatch(/CONTAINER_LAYER|INITRD_ENTRY/);
    expect(error.message).toMatch(message);
    expect(error.where.file).toContain(folder);
  });

  it('may lead links anywhere, as only the guest follows them', async () => {
    const members = await packLayout({
      layers: await layersOf(
        [APP, { name: 'l', type: 'symlink', linkname: '/etc' }],
        [{ name: 'l/passwd', content: 'guest' }],
      ),
    });
    expect(members.find(({ path }) => path === 'etc/passwd')!.content.toString()).toBe('guest');
  });

  it('with a file of 8 GiB is refused before any of it is unpacked', async () => {
    const [layer] = await layersOf([APP, { name: 'zeros', content: 'x' }]);
    const bytes = Buffer.from(layer!);
    // The header of the second entry: its size, and a checksum that fits.
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
  ])('that says otherwise of %s than it is, is refused', async (_, name) => {
    expect(await change(name, flipped)).toMatchObject({ code: 'CONTAINER_DIGEST' });
  });

  it('whose layer unpacks to another archive than its configuration says, is refused', async () => {
    const [layer, other] = await layersOf([APP], [APP, { name: 'other' }]);
    const error = await failureOf(packLayout({ layers: [layer!], stored: () => gzipSync(other!) }));
    expect(error).toMatchObject({ code: 'CONTAINER_DIGEST', message: expect.stringContaining('unpacks to a layer') });
  });

  it.each([
    ['JSON that ends early', (bytes: Buffer) => bytes.subarray(0, -5), 'CONTAINER_IMAGE'],
    ['brackets without end', () => Buffer.alloc(100_000, '['), 'CONTAINER_IMAGE'],
    ['no manifests', () => Buffer.from('{}'), 'CONTAINER_IMAGE'],
    ['manifests that are none', () => Buffer.from('{"manifests":[1,null,"a"]}'), 'CONTAINER_IMAGE'],
    ['no image', () => Buffer.from('{"manifests":[]}'), 'CONTAINER_IMAGE'],
    ['five million bytes', () => Buffer.alloc(5_000_000, ' '), 'CONTAINER_IMAGE'],
    [
      'a digest that is a path',
      () => Buffer.from('{"manifests":[{"digest":"sha256:../../../etc/passwd","size":1}]}'),
      'CONTAINER_IMAGE',
    ],
    [
      'a part that is not there',
      () => Buffer.from(`{"manifests":[{"digest":"sha256:${'0'.repeat(64)}","size":1}]}`),
      'CONTAINER_IMAGE',
    ],
  ])('has an index with %s is refused', async (_, content, code) => {
    expect(await change(/"manifests"/, content)).toMatchObject({ code });
  });

  it('has an index that leads back to itself is refused', async () => {
    // No index can have its own digest: a chain of them is as good.
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
    expect((await failureOf(pack())).message).toMatch(/below too many others/);
  });

  it.each([
    ['Windows', { os: 'windows' }, /for windows/],
    ['another processor', { architecture: 's390x' }, /"s390x"/],
    ['other layers', { rootfs: { diff_ids: [] } }, /describes 0 layers/],
    ['layers without digests', { rootfs: { diff_ids: ['x'] } }, /"x" in place of a digest/],
    ['a command that is no list', { config: { Entrypoint: 'sh -c' } }, /config.Entrypoint/],
    ['a NUL in its environment', { config: { Env: ['A=\0'] } }, /config.Env/],
  ])('is for %s is refused', async (_, configuration, message) => {
    const error = await failureOf(packLayout({ layers: await layersOf([APP]), configuration }));
    expect(error).toMatchObject({ code: 'CONTAINER_IMAGE', message: expect.stringMatching(message) });
  });

  it.each([
    ['is encrypted', 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted'],
    ['is of an unknown kind', 'application/octet-stream'],
  ])('has a layer that %s is refused', async (_, mediaType) => {
    const error = await failureOf(packLayout({ layers: await layersOf([APP]), mediaType }));
    expect(error).toMatchObject({ code: 'CONTAINER_IMAGE', message: expect.stringContaining(mediaType) });
  });

  it.each([
    ['is cut off in a header', (archive: Buffer) => archive.subarray(0, 300)],
    ['is cut off in a file', (archive: Buffer) => archive.subarray(0, 520)],
    ['is no archive', () => Buffer.alloc(2048, 'x')],
  ])('has a layer that %s is refused', async (_, archive) => {
    const [layer] = await layersOf([APP]);
    const error = await failureOf(packLayout({ layers: [archive(layer!)] }));
    expect(error).toMatchObject({ code: 'CONTAINER_LAYER', message: expect.stringMatching(/no tar archive/) });
  });

  it.each([
    ['an empty file', Buffer.alloc(0)],
    ['text', Buffer.from('text')],
    ['a damaged gzip file', Buffer.from('1f8b0800deadbeef', 'hex')],
    ['an archive of something else', undefined],
  ])('is %s is refused', async (_, bytes) => {
    writeFileSync(join(folder, 'image'), bytes ?? (await tarOf([{ name: 'a', content: 'x' }])));
    expect(await failureOf(pack())).toMatchObject({ code: 'CONTAINER_IMAGE', where: { file: join(folder, 'image') } });
  });

  it('has links in place of its parts is refused', async () => {
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

  it('is not the pinned one is refused', async () => {
    writeFileSync(join(folder, 'image'), await archiveOf(await parts()));
    expect(await failureOf(pack('image', { sha256: '0'.repeat(64) }))).toMatchObject({ code: 'RESOURCE_DIGEST' });
  });

  it('has a first program of its own must say which of the two it is', async () => {
    const layers = await layersOf([APP, { name: 'init', content: '#!/bin/sh\n', mode: 0o755 }]);
    expect(await failureOf(packLayout({ layers }))).toMatchObject({
      message: expect.stringMatching(/set "init" to "none"/),
    });
    const members = await packLayout({ layers }, { init: 'none' });
    expect(members.map(({ path }) => path)).toEqual(['bin', 'bin/app', 'init']);
  });
});
