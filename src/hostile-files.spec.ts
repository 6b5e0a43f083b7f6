/** A commit can replace the files that we read with anything. The answer has to be quick: one error, without the file's contents. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { makeInputs } from '../conformance/make-inputs';
import { NX_IGVM, run } from './cli/programs';

const SECRET = 'ghp_0123456789abcdefSECRET';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'igvm-hostile-'));
  makeInputs(folder, ['vmlinux-x64.elf']);
  mkdirSync(join(folder, 'rootfs'));
  writeFileSync(join(folder, 'rootfs', 'init'), '#!/bin/sh\n');
  writeFileSync(join(folder, 'initrd.json'), '{}');
  writeFileSync(join(folder, 'igvm.json'), JSON.stringify(manifest('vmlinux-x64.elf')));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const manifest = (kernel: string, initrd?: string) => ({
  guest_arch: 'x64',
  guest_configs: [
    {
      guest_svn: 1,
      max_vtl: 0,
      isolation_type: 'none',
      image: {
        linux: { use_initrd: initrd !== undefined, command_line: '', boot_data: 'embedded', memory_size: 2 ** 28 },
      },
    },
  ],
  resources: { linux_kernel: kernel, ...(initrd === undefined ? {} : { linux_initrd: initrd }) },
});

/** Kinds of hostile files, and functions that create them at a path. */
const KINDS: Record<string, (path: string) => unknown> = {
  'a link to an endless device': (path) => symlinkSync('/dev/zero', path),
  'a link to a device': (path) => symlinkSync('/dev/null', path),
  'a named pipe': (path) => execFileSync('mkfifo', [path]),
  'a folder': (path) => mkdirSync(path),
  'a link to a file that the system generates': (path) => symlinkSync('/proc/self/environ', path),
  'a link to an endless file that the system generates': (path) => symlinkSync('/proc/self/pagemap', path),
  'a link to itself': (path) => symlinkSync(path, path),
  'a link to nothing': (path) => symlinkSync('nowhere', path),
  'a link to a secret': (path) => {
    writeFileSync(join(folder, 'secret'), `TOKEN=${SECRET}\n`);
    symlinkSync('secret', path);
  },
  'a secret that is JSON': (path) => writeFileSync(path, JSON.stringify(SECRET)),
  'a file with a hole of 1 TiB': (path) => {
    const fd = openSync(path, 'w');
    ftruncateSync(fd, 2 ** 40);
    closeSync(fd);
  },
  'deeply nested brackets': (path) => writeFileSync(path, '['.repeat(200_000)),
  'thousands of copies of one key': (path) => writeFileSync(path, `{${'"a":1,'.repeat(40_000)}"a":1}`),
  zeros: (path) => writeFileSync(path, Buffer.alloc(200_000)),
};

interface Place {
  path: string;
  /** Called before the hostile file is created. */
  prepare?: () => unknown;
  args: string[];
  /** The kinds that are not an error in this place, because the file is optional, or a link is packed as a link. */
  harmless?: (kind: string) => boolean;
}

const build = () => nxIgvm('build', 'igvm.json', '-o', 'image.igvm');
const named = (kernel: string, initrd?: string) => () =>
  writeFileSync(join(folder, 'igvm.json'), JSON.stringify(manifest(kernel, initrd)));

const PLACES: Record<string, Place> = {
  'the manifest': { path: 'igvm.json', args: ['build', 'igvm.json', '-o', 'image.igvm'] },
  'an initrd.json': {
    path: 'initrd.json',
    args: ['initrd', 'initrd.json', '-o', 'initrd.cpio'],
    // The folder is packed.
    harmless: (kind) => kind === 'a folder',
  },
  'the resources file': {
    path: 'resources.json',
    args: ['build', 'igvm.json', '--resources', 'resources.json', '-o', 'image.igvm'],
  },
  'the kernel': { path: 'kernel', prepare: named('kernel'), args: ['build', 'igvm.json', '-o', 'image.igvm'] },
  'a kernel by a pattern': {
    path: 'boot/kernel-1',
    prepare: named('boot/kernel-*'),
    args: ['build', 'igvm.json', '-o', 'image.igvm'],
  },
  'the lock': {
    path: 'igvm.lock.json',
    prepare: build,
    args: ['verify', 'image.igvm', '--lock', 'igvm.lock.json'],
    // An image without measurement needs no lock.
    harmless: (kind) => kind === 'a link to nothing',
  },
  'the image': { path: 'image.igvm', args: ['inspect', 'image.igvm', '--format', 'text'] },
  'the map': {
    path: 'image.igvm.map',
    prepare: async () => {
      await build();
      rmSync(join(folder, 'image.igvm.map'));
    },
    args: ['inspect', 'image.igvm', '--format', 'text'],
    harmless: () => true,
  },
  'an entry of a folder': {
    path: 'rootfs/entry',
    args: ['initrd', 'initrd.json', '-o', 'initrd.cpio'],
    harmless: (kind) => kind !== 'a named pipe' && !kind.includes('1 TiB'),
  },
};

async function nxIgvm(...args: string[]): Promise<string> {
  let shown = '';
  const take = (text: string): void => void (shown += text);
  await run(NX_IGVM, args, { cwd: folder, stdout: take, stderr: take, isInteractive: false });
  return shown;
}

const posix = process.platform === 'win32' ? describe.skip : describe;
posix.each(Object.entries(PLACES))('in place of %s', (_, { path, prepare, args, harmless = () => false }) => {
  it.each(Object.entries(KINDS))('%s gives a quick answer and at most one error', async (kind, make) => {
    await prepare?.();
    const place = join(folder, path);
    mkdirSync(dirname(place), { recursive: true });
    rmSync(place, { recursive: true, force: true });
    make(place);
    await expectAnswer(args, harmless(kind));
  });

  it('a socket gives a quick answer and at most one error', async () => {
    await prepare?.();
    const place = join(folder, path);
    mkdirSync(dirname(place), { recursive: true });
    rmSync(place, { recursive: true, force: true });
    const server = createServer();
    await new Promise<void>((done) => server.listen(place, done));
    await expectAnswer(args, path.endsWith('.map'));
    await new Promise((done) => server.close(done));
  });
});

async function expectAnswer(args: string[], isHarmless: boolean): Promise<void> {
  const memory = process.memoryUsage().rss;
  // Processor time doesn't include other work on the machine. The test's time limit bounds the time that it waits.
  const start = process.cpuUsage();
  const shown = await nxIgvm(...args);
  const { user, system } = process.cpuUsage(start);
  expect((user + system) / 1e6).toBeLessThan(2);
  expect(process.memoryUsage().rss - memory).toBeLessThan(200 * 2 ** 20);
  // A document that lacks everything a manifest needs has several errors with the same code.
  const codes = new Set(shown.match(/\[[A-Z]+(_[A-Z]+)+\]/g));
  expect([shown, codes.size]).toEqual([shown, isHarmless ? 0 : 1]);
  expect(shown).not.toContain('SECRET');
  expect(shown).not.toContain('TOKEN');
  expect(shown).not.toMatch(/^ +at /m);
  expect(shown.length).toBeLessThan(isHarmless ? 20_000 : 1500);
}
