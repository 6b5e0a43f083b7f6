import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type InitrdConfig, loadInitrd } from './load-initrd';

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

  it('names the nearest key of one it does not know', () => {
    expect(load('{ "compresion": "gzip" }').warnings[0]?.message).toContain('"compression"');
  });
});
