import { execFileSync } from 'node:child_process';
import fs, {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import type * as FileSources from '../files/file-source';
import { GUEST_INIT } from './guest-init';
import type { InitrdOptions } from './initrd-options';
import { packInitrd } from './pack-initrd';

jest.mock('node:fs', () => ({ ...jest.requireActual<typeof fs>('node:fs') }));

/** What happens after a piece of a file was read. */
const mockRead: { done?: (path: string) => unknown } = {};
jest.mock('../files/file-source', () => ({
  openFileSource(path: string) {
    const source = jest.requireActual<typeof FileSources>('../files/file-source').openFileSource(path);
    const read = source.read.bind(source);
    source.read = (offset, target) => {
      read(offset, target);
      mockRead.done?.(path);
    };
    return source;
  },
}));

let home: string;
let folder: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'initrd-'));
  folder = join(home, 'rootfs');
  mkdirSync(join(folder, 'bin'), { recursive: true });
  writeFileSync(join(folder, 'init'), '#!/bin/sh\n');
  chmodSync(join(folder, 'init'), 0o700);
  writeFileSync(join(folder, 'bin', 'tool'), 'x'.repeat(5));
});
afterEach(() => {
  mockRead.done = undefined;
  jest.restoreAllMocks();
  rmSync(home, { recursive: true, force: true });
});

async function pack(options: Partial<InitrdOptions> = {}): Promise<Buffer> {
  const output = join(home, 'out', 'initrd.cpio');
  await packInitrd({ folder, output, compression: 'none', ...options });
  return readFileSync(output);
}

/** What an independent reader, cpio, sees. */
function list(archive: Buffer): string[] {
  return execFileSync('cpio', ['-tvn', '--quiet'], { input: archive, encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.replace(/\s+/g, ' ').replace(/ Jan 1 \d+ /, ' '));
}

describe('packing a folder into an initramfs', () => {
  it('lists what cpio reads back, in the order of paths', async () => {
    symlinkSync('tool', join(folder, 'bin', 'sh'));
    writeFileSync(join(folder, 'bin.conf'), '');
    const archive = await pack({
      directories: ['/proc', 'var/lib'],
      devices: [{ path: '/dev/console', type: 'char', major: 5, minor: 1 }],
      symlinks: { 'etc/mtab': '../proc/mounts' },
      modes: { 'bin/tool': '4755' },
    });
    expect(list(archive)).toEqual([
      'drwxr-xr-x 2 0 0 0 bin',
      'lrwxrwxrwx 1 0 0 4 bin/sh -> tool',
      '-rwsr-xr-x 1 0 0 5 bin/tool',
      '-rw-r--r-- 1 0 0 0 bin.conf',
      'drwxr-xr-x 2 0 0 0 dev',
      'crw------- 1 0 0 5, 1 dev/console',
      'drwxr-xr-x 2 0 0 0 etc',
      'lrwxrwxrwx 1 0 0 14 etc/mtab -> ../proc/mounts',
      '-rwxr-xr-x 1 0 0 10 init',
      'drwxr-xr-x 2 0 0 0 proc',
      'drwxr-xr-x 2 0 0 0 var',
      'drwxr-xr-x 2 0 0 0 var/lib',
    ]);
    expect(archive.length % 512).toBe(0);
  });

  it('adds a first program, which anyone may execute', async () => {
    rmSync(join(folder, 'init'));
    const archive = await pack({ init: 'x64' });
    expect(list(archive).at(-1)).toBe(`-rwxr-xr-x 1 0 0 ${GUEST_INIT.x64.length} init`);
    expect(archive.includes(Buffer.from(GUEST_INIT.x64))).toBe(true);
  });

  it('extracts to the same content', async () => {
    const big = Buffer.alloc(3 * 2 ** 20 + 1, 'igvm');
    writeFileSync(join(folder, 'bin', 'größe'), big);
    const archive = await pack();
    const target = join(home, 'extracted');
    mkdirSync(target);
    execFileSync('cpio', ['-id', '--quiet'], { input: archive, cwd: target });
    expect(readFileSync(join(target, 'bin', 'größe')).equals(big)).toBe(true);
    expect(readFileSync(join(target, 'init'), 'utf8')).toBe('#!/bin/sh\n');
  });

  it('depends on names, contents and the executable bit, on nothing else of the machine', async () => {
    const before = await pack();
    utimesSync(join(folder, 'init'), 1, 1);
    chmodSync(join(folder, 'init'), 0o555);
    chmodSync(join(folder, 'bin', 'tool'), 0o600);
    writeFileSync(join(folder, 'bin', '.gitkeep'), '');
    expect((await pack()).equals(before)).toBe(true);
    chmodSync(join(folder, 'bin', 'tool'), 0o700);
    expect((await pack()).equals(before)).toBe(false);
  });

  it('compresses to the same archive, without a trace of the machine', async () => {
    const plain = await pack();
    const gzip = await pack({ compression: 'gzip' });
    expect(zlib.gunzipSync(gzip).equals(plain)).toBe(true);
    expect([...gzip.subarray(4, 10)]).toEqual([0, 0, 0, 0, 2, 255]);
    const zstd = await pack({ compression: 'zstd' });
    const unpacked = execFileSync('zstd', ['-dcq'], { input: zstd });
    expect(unpacked.equals(plain)).toBe(true);
  });

  it.each<[Partial<InitrdOptions>, string, string]>([
    [{ directories: ['init'] }, 'INITRD_ENTRY', '"init" is there already, as a file'],
    [{ symlinks: { 'init/x': 'y' } }, 'INITRD_ENTRY', '"init/x" lies below "init", which is no folder'],
    [{ directories: ['../etc'] }, 'INITRD_ENTRY', '"../etc" is not a path in an initramfs'],
    [{ directories: ['/'] }, 'INITRD_ENTRY', '"/" is not a path in an initramfs'],
    [{ modes: { nothing: '644' } }, 'INITRD_ENTRY', 'a mode is given for "nothing", which is not there'],
    [{ modes: { init: '9' } }, 'INITRD_ENTRY', '"9" is not a mode'],
    [{ folder: '/nowhere/at/all' }, 'FILE_UNREADABLE', 'no such file or directory'],
  ])('refuses %j and writes nothing', async (options, code, sentence) => {
    await expect(pack(options)).rejects.toMatchObject({ code, message: expect.stringContaining(sentence) });
    expect(existsSync(join(home, 'out'))).toBe(false);
  });

  it('refuses what is neither file, folder nor link', async () => {
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    await expect(pack()).rejects.toMatchObject({ code: 'INITRD_ENTRY', where: { file: join(folder, 'pipe') } });
  });

  it('refuses names that are no text, also of what a link points to', async () => {
    const odd = Buffer.concat([Buffer.from(`${folder}/`), Buffer.of(0xe4)]);
    symlinkSync(Buffer.of(0xe4), join(folder, 'link'));
    await expect(pack()).rejects.toMatchObject({ code: 'INITRD_ENTRY', where: { file: join(folder, 'link') } });
    rmSync(join(folder, 'link'));
    writeFileSync(odd, '');
    await expect(pack()).rejects.toMatchObject({ code: 'INITRD_ENTRY', where: { file: folder } });
    rmSync(odd);
  });

  it('says what of a folder can not be looked at', async () => {
    const error = Object.assign(new Error('EACCES'), { code: 'EACCES' });
    jest.spyOn(fs, 'lstatSync').mockImplementationOnce(() => {
      throw error;
    });
    await expect(pack()).rejects.toMatchObject({ code: 'FILE_UNREADABLE', cause: error });
  });

  it.each([
    ['another size', 'much more'],
    ['the same size', 'other'],
  ])('notices a file that is written to meanwhile, with %s', async (_, content) => {
    const tool = join(folder, 'bin', 'tool');
    utimesSync(tool, 1, 1);
    mockRead.done = (path) => path === tool && writeFileSync(tool, content);
    await expect(pack()).rejects.toMatchObject({ code: 'FILE_CHANGED' });
  });

  it.each([
    ['is the folder', () => join(folder, 'initrd.cpio')],
    ['is below it', () => join(folder, 'dist', 'new', 'initrd.cpio')],
    ['is below a link to it', () => join(home, 'linked', 'initrd.cpio')],
  ])('is not put where the next one would contain it: %s', async (_, output) => {
    symlinkSync('rootfs', join(home, 'linked'));
    await expect(pack({ output: output() })).rejects.toMatchObject({ code: 'INITRD_ENTRY', where: { file: output() } });
  });

  it('leaves nothing behind when there is no zstd, neither in Node nor as a program', async () => {
    const path = process.env['PATH'];
    process.env['PATH'] = home;
    try {
      const packing = pack({ compression: 'zstd' });
      if ('createZstdCompress' in zlib) {
        await expect(packing).resolves.toBeInstanceOf(Buffer);
      } else {
        await expect(packing).rejects.toMatchObject({ code: 'INITRD_COMPRESSION' });
        expect(existsSync(join(home, 'out'))).toBe(false);
      }
    } finally {
      process.env['PATH'] = path;
    }
  });
});
