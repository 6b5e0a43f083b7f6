import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type InitrdConfig, loadInitrd } from './load-initrd';
import { packInitrd } from './pack-initrd';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'initrd-json-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function load(text: string): InitrdConfig {
  const path = join(home, 'initrd.json');
  writeFileSync(path, text);
  return loadInitrd(path, 'initrd.json');
}

describe('initrd.json', () => {
  it('needs nothing: the folder is rootfs beside it', () => {
    expect(load('{}')).toEqual({
      folder: join(home, 'rootfs'),
      compression: 'none',
      directories: [],
      devices: [],
      symlinks: {},
      modes: {},
      whereOf: expect.any(Function),
      warnings: [],
    });
  });

  it('lists what a folder can not hold', () => {
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
  ])('says where %s is wrong', (text, jsonPath, sentence) => {
    expect(() => load(text)).toThrow(
      expect.objectContaining({
        code: 'MANIFEST_INVALID',
        message: expect.stringContaining(sentence),
        where: expect.objectContaining({ file: 'initrd.json', line: 1, jsonPath }),
      }),
    );
  });

  it('says where it is of what does not fit the folder', async () => {
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
        where: { file: 'initrd.json', line: 1, column: expect.any(Number), jsonPath },
      });
    }
  });

  it('names the nearest key of one it does not know', () => {
    expect(load('{ "compresion": "gzip" }').warnings[0]?.message).toContain('"compression"');
  });
});
