import { pathOf } from '../errors/json-path.fixture';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cpioMembers } from './cpio-newc.fixture';
import { LoopbackServer, serve, sha256Of } from '../resources/loopback-server.fixture';
import { fetchInitrdUrls, type LoadedInitrd, loadInitrd } from './load-initrd';
import { packInitrd } from './pack-initrd';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'initrd-json-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function load(text: string): LoadedInitrd {
  const path = join(home, 'initrd.json');
  writeFileSync(path, text);
  return loadInitrd(path, 'initrd.json');
}

describe('initrd.json', () => {
  it('needs no keys: by default, it packs the folder rootfs beside it', () => {
    expect(load('{}')).toEqual({
      folder: join(home, 'rootfs'),
      compression: 'none',
      environment: {},
      modules: [],
      directories: [],
      devices: [],
      symlinks: {},
      modes: {},
      whereOf: expect.any(Function),
      warnings: [],
    });
  });

  it('lists entries that a folder cannot hold', () => {
    const lists = {
      directories: ['/proc'],
      devices: [{ path: '/dev/console', type: 'char' as const, major: 5, minor: 1, mode: '620' }],
      symlinks: { '/bin/sh': 'busybox' },
      modes: { '/bin/su': '4755' },
    };
    expect(load(JSON.stringify({ folder: '../root', compression: 'zstd', ...lists }))).toMatchObject({
      folder: join(home, '..', 'root'),
      compression: 'zstd',
      ...lists,
    });
  });

  it.each([
    ['{ "compression": "xz" }', 'compression', 'expected one of "none", "gzip", "zstd", found "xz"'],
    ['{ "init": "arm64" }', 'init', 'expected one of "x64", "aarch64", "none", found "arm64"'],
    ['{ "devices": [{ "path": "/dev/null" }] }', 'devices[0].type', '"type" is missing'],
    ['{ "devices": [{ "path": "/d", "type": "char", "major": 1.5, "minor": 3 }] }', 'devices[0].major', 'expected'],
    ['{ "modes": { "init": 755 } }', 'modes.init', 'expected three or four octal digits, found 755'],
    ['{ "symlinks": [] }', 'symlinks', 'expected an object'],
  ])('reports the place of the mistake in %s', (text, jsonPath, sentence) => {
    expect(() => load(text)).toThrow(
      expect.objectContaining({
        code: 'MANIFEST_INVALID',
        message: expect.stringContaining(sentence),
        where: expect.objectContaining({ file: 'initrd.json', line: 1, jsonPath: pathOf(jsonPath) }),
      }),
    );
  });

  it('reports the places of entries that conflict with the folder', async () => {
    mkdirSync(join(home, 'rootfs'));
    writeFileSync(join(home, 'rootfs', 'init'), '');
    const lists: [object, string][] = [
      [{ directories: ['etc', '../etc'] }, 'directories[1]'],
      [{ symlinks: { init: 'busybox' } }, 'symlinks.init'],
      [{ devices: [{ path: '/init/d', type: 'char', major: 1, minor: 3 }] }, 'devices[0]'],
      [{ modes: { missing: '755' } }, 'modes.missing'],
      [{ init: 'x64' }, 'init'],
    ];
    for (const [list, jsonPath] of lists) {
      const packing = packInitrd({ ...load(JSON.stringify(list)), output: join(home, 'initrd.cpio') });
      await expect(packing).rejects.toMatchObject({
        code: 'INITRD_ENTRY',
        where: { file: 'initrd.json', line: 1, column: expect.any(Number), jsonPath: pathOf(jsonPath) },
      });
    }
  });

  it('suggests the nearest key for an unknown one', () => {
    expect(load('{ "compresion": "gzip" }').warnings[0]?.message).toContain('"compression"');
  });

  it('accepts a container image in the forms of a resource, and then has no default folder', () => {
    mkdirSync(join(home, 'oci'));
    writeFileSync(join(home, 'nx.json'), '{}');
    writeFileSync(join(home, 'app-1.2.tar'), '');
    const paths = ['oci', '{workspaceRoot}/oci', join(home, 'oci'), { path: 'oci' }].map((image) => {
      const { folder, image: found } = load(JSON.stringify({ image }));
      return [folder, found?.path];
    });
    expect(paths).toEqual(Array(4).fill([undefined, join(home, 'oci')]));
    expect(load('{ "image": "app-*.tar", "folder": "over" }')).toMatchObject({
      folder: join(home, 'over'),
      image: { path: join(home, 'app-1.2.tar') },
    });
    const output = { project: 'app', target: 'docker:build', path: 'oci', tag: 'latest', sha256: 'A'.repeat(64) };
    expect(load(JSON.stringify({ image: output })).image).toMatchObject({
      path: join(home, 'oci'),
      tag: 'latest',
      sha256: 'a'.repeat(64),
    });
  });

  it('downloads an image and modules from a web server', async () => {
    const server = await LoopbackServer.start(serve(Buffer.from('content')));
    try {
      const sha256 = sha256Of('content');
      const [image, module] = ['/app.tar', '/a.ko'].map((path) => ({ url: server.url(path).href, sha256 }));
      const path = join(home, 'initrd.json');
      writeFileSync(path, JSON.stringify({ image: { ...image, tag: 'one' }, modules: [module] }));
      const downloads = { folder: join(home, 'downloads') };
      const fetched = await fetchInitrdUrls(path, {}, downloads);
      const kept = join(home, 'downloads', sha256, 'file');
      const expected = { image: { path: kept, sha256, tag: 'one' }, modules: [{ path: kept }] };
      expect(loadInitrd(path, path, undefined, undefined, fetched)).toMatchObject(expected);
      // A damaged file is downloaded again, and an intact one is not.
      writeFileSync(kept, 'damaged');
      await fetchInitrdUrls(path, {}, downloads);
      await fetchInitrdUrls(path, {}, downloads);
      expect([readFileSync(kept, 'utf8'), server.requests.length]).toEqual(['content', 2]);
      writeFileSync(path, JSON.stringify({ image: { url: image!.url } }));
      await expect(fetchInitrdUrls(path, {}, downloads)).rejects.toMatchObject({
        code: 'RESOURCE_UNPINNED',
        where: { file: path },
      });
    } finally {
      await server.close();
    }
  });

  it('passes outputs of other targets to the caller before it looks for them', () => {
    const path = join(home, 'initrd.json');
    const image = { project: 'app', target: 'build', path: 'dist/app.tar' };
    writeFileSync(path, JSON.stringify({ image }));
    const shown: unknown[] = [];
    expect(() => loadInitrd(path, 'initrd.json', home, (reference) => shown.push(reference))).toThrow(
      /dist\/app.tar does not exist: it is an output of app:build/,
    );
    expect(shown).toEqual([{ kind: 'output', ...image }]);
  });

  it.each([
    ['a command without an image', { command: ['a'] }, 'MANIFEST_CONFLICT', 'command'],
    ['variables without an image', { environment: { A: '1' } }, 'MANIFEST_CONFLICT', 'environment'],
    ['modules that nothing loads', { modules: ['a.ko'] }, 'MANIFEST_CONFLICT', 'modules'],
    ['a network that nothing sets up', { network: { address: '1.2.3.4/24' } }, 'MANIFEST_CONFLICT', 'network'],
    ['a command that nothing runs', { image: 'oci', init: 'none', command: ['a'] }, 'MANIFEST_CONFLICT', 'command'],
    ['an empty command', { image: 'oci', command: [] }, 'MANIFEST_INVALID', 'command'],
    ['a NUL character in a command', { image: 'oci', command: ['a\0'] }, 'MANIFEST_INVALID', 'command[0]'],
    [
      'an invalid name of a variable',
      { image: 'oci', environment: { 'A=B': '' } },
      'MANIFEST_INVALID',
      'environment["A=B"]',
    ],
    ['an image that is a number', { image: 5 }, 'MANIFEST_INVALID', 'image'],
    ['an image without a path', { image: { tag: 'a' } }, 'MANIFEST_INVALID', 'image'],
    ['a file that does not exist', { image: 'none.tar' }, 'FILE_UNREADABLE', 'image'],
    ['a pattern without a match', { image: '*.tar' }, 'RESOURCE_PATH', 'image'],
    ...['1.2.3/24', '1.2.3.4', '1.2.3.4/33', '256.1.1.1/8', '1.2.3.4.5/8', 'a', '01.2.3.4/8'].map(
      (address) =>
        [
          `the address ${address}`,
          { init: 'x64', network: { address } },
          'MANIFEST_INVALID',
          'network.address',
        ] as const,
    ),
    [
      'a gateway that is not an address',
      { init: 'x64', network: { address: '1.2.3.4/8', gateway: '1.2.3' } },
      'MANIFEST_INVALID',
      'network.gateway',
    ],
    [
      'an interface with a slash',
      { init: 'x64', network: { address: '1.2.3.4/8', interface: 'a/b' } },
      'MANIFEST_INVALID',
      'network.interface',
    ],
  ] as const)('refuses %s', (_, config, code, jsonPath) => {
    mkdirSync(join(home, 'oci'), { recursive: true });
    expect(() => load(JSON.stringify(config))).toThrow(
      expect.objectContaining({ code, where: expect.objectContaining({ jsonPath: pathOf(jsonPath), line: 1 }) }),
    );
  });

  it('packs modules and a network for the first program, and refuses modules for another processor', async () => {
    const module = (machine: number): Buffer => {
      const bytes = Buffer.alloc(64);
      bytes.write('\x7fELF\x02\x01', 'latin1');
      bytes.writeUInt16LE(1, 16);
      bytes.writeUInt16LE(machine, 18);
      return bytes;
    };
    mkdirSync(join(home, 'rootfs'));
    writeFileSync(join(home, 'b.ko'), module(62));
    writeFileSync(join(home, 'a.ko'), module(62));
    writeFileSync(join(home, 'arm.ko'), module(183));
    writeFileSync(join(home, 'packed.ko'), Buffer.from('fd377a585a00', 'hex'));
    const network = { address: '10.0.2.15/24', nameservers: ['10.0.2.3'] };
    const output = join(home, 'initrd.cpio');
    await packInitrd({ ...load(JSON.stringify({ init: 'x64', modules: ['b.ko', 'a.ko'], network })), output });
    const members = cpioMembers(readFileSync(output));
    expect(members.map(({ path }) => path)).toEqual([
      '.guest',
      '.guest/modules',
      '.guest/modules/001-b.ko',
      '.guest/modules/002-a.ko',
      '.guest/start',
      'etc',
      'etc/resolv.conf',
      'init',
    ]);
    expect(members.find(({ path }) => path === 'etc/resolv.conf')?.content.toString()).toBe('nameserver 10.0.2.3\n');
    for (const name of ['arm.ko', 'packed.ko']) {
      const packing = packInitrd({ ...load(JSON.stringify({ init: 'x64', modules: [name] })), output });
      await expect(packing).rejects.toMatchObject({
        code: 'INITRD_ENTRY',
        message: expect.stringContaining(`${name} is not a kernel module for x64`),
        where: { jsonPath: ['modules', 0] },
      });
    }
  });
});
