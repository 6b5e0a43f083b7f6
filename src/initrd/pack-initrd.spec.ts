import { execFileSync } from 'node:child_process';
import fs, {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { needing } from '../boot/needing.fixture';
import type * as FileSources from '../files/file-source';
import { linkTarget } from './collect-entries';
import { GUEST_INIT } from './guest-init';
import type { InitrdOptions } from './load-initrd';
import { notExecutableWarning, packInitrd } from './pack-initrd';

jest.mock('node:fs', () => ({ ...jest.requireActual<typeof fs>('node:fs') }));

/** Called after a part of a file was read. */
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

const { it: withCpio } = needing('cpio');
const { it: withZstd } = needing('zstd');

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

/** The listing of cpio, an independent reader. */
function list(archive: Buffer): string[] {
  return execFileSync('cpio', ['-tvn', '--quiet'], { input: archive, encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.replace(/\s+/g, ' ').replace(/ Jan 1 \d+ /, ' '));
}

describe('packing a folder into an initramfs', () => {
  withCpio('writes entries that cpio reads, in the order of paths', async () => {
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

  withCpio('adds a first program, which anyone may execute', async () => {
    rmSync(join(folder, 'init'));
    const archive = await pack({ init: 'x64' });
    expect(list(archive).at(-1)).toBe(`-rwxr-xr-x 1 0 0 ${GUEST_INIT.x64.length} init`);
    expect(archive.includes(Buffer.from(GUEST_INIT.x64))).toBe(true);
  });

  withCpio('writes contents that cpio extracts unchanged', async () => {
    const big = Buffer.alloc(3 * 2 ** 20 + 1, 'igvm');
    writeFileSync(join(folder, 'bin', 'größe'), big);
    const archive = await pack();
    const target = join(home, 'extracted');
    mkdirSync(target);
    execFileSync('cpio', ['-id', '--quiet'], { input: archive, cwd: target });
    expect(readFileSync(join(target, 'bin', 'größe')).equals(big)).toBe(true);
    expect(readFileSync(join(target, 'init'), 'utf8')).toBe('#!/bin/sh\n');
  });

  it.each(['.git', 'usr/src/.GIT'])('never packs a repository: %s', async (path) => {
    mkdirSync(join(folder, path), { recursive: true });
    writeFileSync(join(folder, path, 'config'), 'token');
    await expect(pack()).rejects.toMatchObject({ code: 'INITRD_ENTRY', where: { file: join(folder, path) } });
    await expect(pack({ folder: join(folder, path) })).rejects.toMatchObject({ code: 'INITRD_ENTRY' });
  });

  it('never packs a file that refers to a repository, as in submodules', async () => {
    writeFileSync(join(folder, '.git'), 'gitdir: ../.git/modules/rootfs');
    await expect(pack()).rejects.toMatchObject({ code: 'INITRD_ENTRY' });
  });

  it('depends only on names and contents', async () => {
    const before = await pack();
    utimesSync(join(folder, 'init'), 1, 1);
    writeFileSync(join(folder, 'bin', '.gitkeep'), '');
    for (const mode of [0o600, 0o644, 0o755]) {
      chmodSync(join(folder, 'init'), mode);
      chmodSync(join(folder, 'bin', 'tool'), mode);
      expect((await pack()).equals(before)).toBe(true);
    }
    writeFileSync(join(folder, 'bin', 'tool'), 'other');
    expect((await pack()).equals(before)).toBe(false);
  });

  withCpio('gives programs 755 and other files 644, regardless of their permissions on disk', async () => {
    const elf = (type: number, dataEncoding: 1 | 2 = 1): Buffer => {
      const bytes = Buffer.alloc(64);
      bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, dataEncoding, 1]);
      if (dataEncoding === 1) bytes.writeUInt16LE(type, 16);
      else bytes.writeUInt16BE(type, 16);
      return bytes;
    };
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
    const files: [name: string, content: string | Buffer, permissions: string][] = [
      ['core', elf(4), '-rw-r--r--'],
      ['elf', elf(2), '-rwxr-xr-x'],
      ['elf-big-endian', elf(3, 2), '-rwxr-xr-x'],
      ['empty', '', '-rw-r--r--'],
      ['given', 'text', '-rwx------'],
      ['interpreter-second', ' #!/bin/sh\n', '-rw-r--r--'],
      ['library.so', elf(3), '-rwxr-xr-x'],
      ['module.ko', elf(1), '-rw-r--r--'],
      ['object-big-endian', elf(1, 2), '-rw-r--r--'],
      ['script', '#!/bin/sh\n', '-rwxr-xr-x'],
      ['short-elf', '\x7fELF', '-rwxr-xr-x'],
      ['text', 'text', '-rw-r--r--'],
    ];
    for (const mode of [0o755, 0o644]) {
      for (const [name, content] of files) {
        writeFileSync(join(folder, name), content);
        chmodSync(join(folder, name), mode);
      }
      const shown = list(await pack({ init: 'none', modes: { given: '700' } })).map((line) => line.split(' '));
      expect(shown.map((words) => [words.at(-1), words[0]])).toEqual(files.map(([name, , mode]) => [name, mode]));
    }
  });

  it.each<[string, () => void, Partial<InitrdOptions>, string]>([
    ['is a text file', () => writeFileSync(join(folder, 'init'), 'text'), {}, 'neither an ELF program nor a script'],
    [
      'is not executable',
      () => {},
      { modes: { init: '644' } },
      '"init", which the kernel starts, has a mode that does not allow',
    ],
    [
      'is a folder',
      () => {
        rmSync(join(folder, 'init'));
        mkdirSync(join(folder, 'init'));
      },
      {},
      '"init", which the kernel starts, is a directory',
    ],
  ])('refuses a first program that %s, unless "init" is "none"', async (_, prepare, options, message) => {
    prepare();
    await expect(pack(options)).rejects.toThrow(message);
    expect(existsSync(join(home, 'out', 'initrd.cpio'))).toBe(false);
    await pack({ ...options, init: 'none' });
  });

  it('warns of an archive without a first program, unless "init" is "none"', async () => {
    rmSync(join(folder, 'init'));
    const report = (init?: 'none') =>
      packInitrd({ folder, output: join(home, 'out', 'initrd.cpio'), compression: 'none', init });
    expect((await report()).withoutInit).toMatch(/^there is no "init" at the top of rootfs, so Linux panics unless/);
    expect((await report('none')).withoutInit).toBeUndefined();
  });

  it('accepts a link as a first program, and a text file that a mode makes executable', async () => {
    writeFileSync(join(folder, 'init'), 'text');
    await pack({ modes: { init: '755' } });
    rmSync(join(folder, 'init'));
    await pack({ symlinks: { init: 'bin/tool' } });
  });

  it('reports files that are executable on disk but not in the guest', async () => {
    const report = () => packInitrd({ folder, output: join(home, 'out', 'initrd.cpio'), compression: 'none' });
    expect((await report()).notExecutable).toEqual([]);
    chmodSync(join(folder, 'bin', 'tool'), 0o755);
    expect((await report()).notExecutable).toEqual(['bin/tool']);
    expect(notExecutableWarning([])).toBeUndefined();
    expect(notExecutableWarning(['bin/tool'])).toMatch(/^"bin\/tool" is executable here, but is neither/);
    expect(notExecutableWarning(['a', 'b', 'c', 'd'])).toMatch(/^"a", "b", "c" and 1 more are executable here, but/);
  });

  withZstd('compresses the same archive, without information about the machine', async () => {
    const plain = await pack();
    const gzip = await pack({ compression: 'gzip' });
    expect(zlib.gunzipSync(gzip).equals(plain)).toBe(true);
    expect([...gzip.subarray(4, 10)]).toEqual([0, 0, 0, 0, 2, 255]);
    const zstd = await pack({ compression: 'zstd' });
    const unpacked = execFileSync('zstd', ['-dcq'], { input: zstd });
    expect(unpacked.equals(plain)).toBe(true);
  });

  it('converts the targets of links on Windows, and refuses drives and shares', () => {
    expect(linkTarget('..\\lib\\x', 'f', '\\')).toBe('../lib/x');
    expect(linkTarget('\\proc\\mounts', 'f', '\\')).toBe('/proc/mounts');
    expect(linkTarget('a\\b', 'f', '/')).toBe('a\\b');
    for (const target of ['C:\\root\\lib', 'c:/x', '\\\\?\\C:\\x', '//server/share']) {
      expect(() => linkTarget(target, 'f', '\\')).toThrow(expect.objectContaining({ code: 'INITRD_ENTRY' }));
    }
  });

  const longest = ['d'.repeat(255), ...Array.from({ length: 14 }, () => 'e'.repeat(255)), 'f'.repeat(255)].join('/');
  withCpio('accepts the longest names, paths and links and the largest numbers that Linux accepts', async () => {
    expect(longest).toHaveLength(4095);
    const archive = await pack({
      directories: [longest, 'ü'.repeat(127), 'dev', 'below/TRAILER!!!'],
      symlinks: { link: 'x'.repeat(4095), 'dev/console': 'null', root: 'home' },
      devices: [{ path: 'large', type: 'char', major: 4095, minor: 1048575 }],
    });
    expect(list(archive)).toContain(`drwxr-xr-x 2 0 0 0 ${longest}`);
    expect(list(archive)).toContain('crw------- 1 0 0 4095, 1048575 large');
  });

  const device = { path: 'dev/x', type: 'char' as const, major: 1, minor: 1 };
  it.each<[what: string, lists: Partial<InitrdOptions>, sentence: string]>([
    ['the name that ends an archive, as a folder', { directories: ['TRAILER!!!/x'] }, 'marks the end of an archive'],
    ['the name that ends an archive, as a link', { symlinks: { '/TRAILER!!!': 'x' } }, 'marks the end of an archive'],
    ['a name of 256 bytes', { directories: ['ü'.repeat(128)] }, 'a name of more than 255 bytes'],
    ['a path of 4096 bytes', { directories: [`${longest}/`.slice(1) + 'ab'] }, 'Linux accepts paths of up to 4095'],
    ['a path of a million folders', { directories: ['a/'.repeat(1e6)] }, 'Linux accepts paths of up to 4095'],
    ['a million slashes', { directories: [`a${'/'.repeat(1e6)}b`] }, 'is not a path in an initramfs'],
    ['a link to 4096 bytes', { symlinks: { l: 'ü'.repeat(2048) } }, 'links to a path of 4096 bytes'],
    ['a link to nothing', { symlinks: { l: '' } }, 'is a link without a target'],
    ['a link with a NUL character', { symlinks: { l: 'a\0b' } }, 'NUL'],
    ['a link to half a character', { symlinks: { l: '\ud800' } }, 'Unicode'],
    ['half a character', { symlinks: { '\udc00': 'x' } }, 'Unicode'],
    ['a path with a NUL character', { symlinks: { 'a\0b': 'x' } }, 'is not a path in an initramfs'],
    ['a path with an empty step', { directories: ['a//b'] }, 'is not a path in an initramfs'],
    ['a path with a dot as a step', { directories: ['a/./b'] }, 'is not a path in an initramfs'],
    ['a minor number of 21 bits', { devices: [{ ...device, minor: 1048576 }] }, 'minor number'],
    ['a major number of 13 bits', { devices: [{ ...device, major: 4096 }] }, 'major number'],
    ['NaN as a number', { devices: [{ ...device, major: Number.NaN }] }, 'major number'],
    ['a negative number', { devices: [{ ...device, minor: -1 }] }, 'minor number'],
    ['a link at /dev', { symlinks: { dev: 'devices' } }, 'must be a folder'],
    ['a device at /dev', { devices: [{ ...device, path: 'dev' }] }, 'must be a folder'],
    ['another /dev/console', { devices: [{ ...device, path: 'dev/console' }] }, 'must have the numbers 5 and 1'],
    ['a mode of a link', { symlinks: { l: 'x' }, modes: { l: '700' } }, 'Linux has no modes for links'],
    ['two modes of a file', { modes: { init: '700', '/init': '755' } }, 'a second time'],
    ['a device twice', { devices: [device, { ...device, path: '/dev/x' }] }, 'already exists'],
    ['a file below a link', { symlinks: { l: 'x', 'l/m': 'y' } }, 'which is not a folder'],
  ])('refuses what Linux would drop or change: %s', async (_, lists, sentence) => {
    await expect(pack(lists)).rejects.toMatchObject({
      code: 'INITRD_ENTRY',
      message: expect.stringContaining(sentence) as string,
    });
    expect(existsSync(join(home, 'out'))).toBe(false);
  });

  it.each([
    ['TRAILER!!!', (path: string) => writeFileSync(path, '')],
    ['dev', (path: string) => writeFileSync(path, '')],
    ['dev', (path: string) => symlinkSync('x', path)],
  ])('refuses the same in the folder, and names the file: %s', async (name, make) => {
    make(join(folder, name));
    await expect(pack()).rejects.toMatchObject({ code: 'INITRD_ENTRY', where: { file: join(folder, name) } });
  });

  it.each<[Partial<InitrdOptions>, string, string]>([
    [{ directories: ['init'] }, 'INITRD_ENTRY', '"init" already exists as a file'],
    [{ symlinks: { 'init/x': 'y' } }, 'INITRD_ENTRY', '"init/x" lies below "init", which is not a folder'],
    [{ directories: ['../etc'] }, 'INITRD_ENTRY', '"../etc" is not a path in an initramfs'],
    [{ directories: ['/'] }, 'INITRD_ENTRY', '"/" is not a path in an initramfs'],
    [{ modes: { nothing: '644' } }, 'INITRD_ENTRY', 'a mode is given for "nothing", which does not exist'],
    [{ modes: { init: '9' } }, 'INITRD_ENTRY', '"9" is not a mode'],
    [{ folder: '/nowhere/at/all' }, 'FILE_UNREADABLE', 'no such file or directory'],
  ])('refuses %j and writes nothing', async (options, code, sentence) => {
    await expect(pack(options)).rejects.toMatchObject({ code, message: expect.stringContaining(sentence) });
    expect(existsSync(join(home, 'out'))).toBe(false);
  });

  it('refuses a named pipe', async () => {
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    await expect(pack()).rejects.toMatchObject({ code: 'INITRD_ENTRY', where: { file: join(folder, 'pipe') } });
  });

  it('refuses names that are not UTF-8, also in the target of a link', async () => {
    const odd = Buffer.concat([Buffer.from(`${folder}/`), Buffer.of(0xe4)]);
    symlinkSync(Buffer.of(0xe4), join(folder, 'link'));
    await expect(pack()).rejects.toMatchObject({ code: 'INITRD_ENTRY', where: { file: join(folder, 'link') } });
    rmSync(join(folder, 'link'));
    writeFileSync(odd, '');
    await expect(pack()).rejects.toMatchObject({ code: 'INITRD_ENTRY', where: { file: folder } });
    rmSync(odd);
  });

  it('fails if a file cannot be examined', async () => {
    const error = Object.assign(new Error('EACCES'), { code: 'EACCES' });
    jest.spyOn(fs, 'lstatSync').mockImplementationOnce(() => {
      throw error;
    });
    await expect(pack()).rejects.toMatchObject({ code: 'FILE_UNREADABLE', cause: error });
  });

  it.each([
    ['another size', 'much more'],
    ['the same size', 'other'],
  ])('detects a file that changes while it is packed, to %s', async (_, content) => {
    const tool = join(folder, 'bin', 'tool');
    utimesSync(tool, 1, 1);
    mockRead.done = (path) => path === tool && writeFileSync(tool, content);
    await expect(pack()).rejects.toMatchObject({ code: 'FILE_CHANGED' });
  });

  it.each([
    ['is in the folder', () => join(folder, 'initrd.cpio')],
    ['is deeper in the folder', () => join(folder, 'dist', 'new', 'initrd.cpio')],
    ['is below a link to the folder', () => join(home, 'linked', 'initrd.cpio')],
  ])('refuses an output that %s, because the next initramfs would contain it', async (_, output) => {
    symlinkSync('rootfs', join(home, 'linked'));
    await expect(pack({ output: output() })).rejects.toMatchObject({ code: 'INITRD_ENTRY', where: { file: output() } });
  });

  const modeOf = (): string => (statSync(join(home, 'out', 'initrd.cpio')).mode & 0o777).toString(8);
  (process.platform === 'win32' ? it.skip : it)(
    'lets those read the output who may read all of its sources',
    async () => {
      const before = process.umask(0o022);
      try {
        chmodSync(join(folder, 'init'), 0o644);
        await pack();
        expect(modeOf()).toBe('644');
        rmSync(join(home, 'out'), { recursive: true });
        await pack({ private: true });
        expect(modeOf()).toBe('600');
        for (const [path, open, closed] of [
          [join(folder, 'bin', 'tool'), 0o644, 0o600],
          [join(folder, 'bin'), 0o755, 0o700],
          [folder, 0o755, 0o700],
        ] as const) {
          rmSync(join(home, 'out'), { recursive: true });
          chmodSync(path, closed);
          await pack();
          expect(modeOf()).toBe('600');
          chmodSync(path, open);
        }
        await pack();
        expect(modeOf()).toBe('600');
      } finally {
        process.umask(before);
      }
    },
  );
});
