import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { needing } from '../boot/needing.fixture';
import { IgvmError } from '../errors/igvm-error';
import { arm64ImageFile } from '../loader/formats/kernel.fixture';
import { bytesSource } from '../memory/byte-source';
import { buildManifest } from './build-manifest';
import { unpackKernel } from './compressed-kernel';

/** Its size isn't a multiple of a page, and its zeros compress well. */
const KERNEL = Buffer.concat([arm64ImageFile(300_000, { imageSize: 0x200000n }), Buffer.alloc(500_123)]);

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'igvm-compressed-'));
});
afterEach(() => rmSync(root, { recursive: true }));

async function build(kernel: Uint8Array): Promise<Buffer> {
  writeFileSync(join(root, 'kernel'), kernel);
  const guest = {
    guest_svn: 1,
    max_vtl: 0,
    isolation_type: 'none',
    image: { linux: { use_initrd: false, command_line: 'quiet' } },
  };
  const manifest = { guest_arch: 'aarch64', guest_configs: [guest], resources: { linux_kernel: 'kernel' } };
  writeFileSync(join(root, 'igvm.json'), JSON.stringify(manifest));
  await buildManifest({
    manifest: join(root, 'igvm.json'),
    output: join(root, 'a.igvm'),
    display: (path) => path.slice(root.length + 1),
  });
  return readFileSync(join(root, 'a.igvm'));
}

async function failure(kernel: Uint8Array): Promise<string> {
  const error: unknown = await build(kernel).catch((caught: unknown) => caught);
  if (!(error instanceof IgvmError)) throw error;
  return error.format();
}

const leftFolders = (): string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith('nx-igvm-kernel-') && name.includes(`-${process.pid}-`));

/** Compresses with a program. */
function packed(program: string, ...args: string[]): Buffer {
  const { stdout, status } = spawnSync(program, args, { input: KERNEL, maxBuffer: 2 ** 28 });
  if (status !== 0) throw new Error(`${program} failed`);
  return stdout;
}

/** An EFI zboot kernel as Linux's build makes it: a header, the compressed kernel, and, except for gzip, its size. */
function zboot(payload: Uint8Array, name: string, size?: number): Buffer {
  const header = Buffer.alloc(0x1000);
  header.write('MZ', 0);
  header.write('zimg', 4);
  header.writeUInt32LE(header.length, 8);
  header.writeUInt32LE(payload.length, 12);
  header.write(name, 24);
  const end = Buffer.alloc(size === undefined ? 0 : 4);
  if (size !== undefined) end.writeUInt32LE(size);
  return Buffer.concat([header, payload, end, Buffer.alloc(300)]);
}

describe('a compressed kernel for arm64', () => {
  it('builds the same image as the kernel inside, and leaves no temporary files', async () => {
    const expected = await build(KERNEL);
    expect((await build(gzipSync(KERNEL))).equals(expected)).toBe(true);
    expect((await build(zboot(gzipSync(KERNEL), 'gzip'))).equals(expected)).toBe(true);
    expect(leftFolders()).toEqual([]);
  });

  const { it: itPacked } = needing('zstd', 'xz');
  itPacked('may be compressed with zstd, also in a window of 128 MiB, or with xz', async () => {
    const expected = await build(KERNEL);
    for (const [name, payload] of [
      ['zstd', packed('zstd', '-c')],
      ['zstd22', packed('zstd', '-c', '--ultra', '-22', '--long=27')],
      ['xzkern', packed('xz', '-c', '--check=crc32')],
    ] as const) {
      expect((await build(zboot(payload, name, KERNEL.length))).equals(expected)).toBe(true);
      expect((await build(payload)).equals(expected)).toBe(true);
    }
  });

  itPacked('names what is missing for one that cannot be unpacked', async () => {
    const filtered = packed('xz', '-c', '--check=crc32', '--x86', '--lzma2');
    expect(await failure(zboot(filtered, 'xzkern', KERNEL.length))).toMatch(
      /^kernel: linux-kernel cannot be unpacked as xz: .*BCJ/,
    );
    const large = packed('xz', '-c', '--check=crc32', '--lzma2=dict=128MiB');
    expect(await failure(zboot(large, 'xzkern', KERNEL.length))).toContain(
      'its dictionary is larger than 64 MiB; `xz -dc` may be able to',
    );
    const lz4 = Buffer.concat([Buffer.from([0x02, 0x21, 0x4c, 0x18]), Buffer.alloc(99)]);
    expect(await failure(zboot(lz4, 'lz4', KERNEL.length))).toContain(
      'compressed with lz4 (tail -c +4097 FILE | head -c 103 | lz4 -dc)',
    );
    expect(await failure(zboot(Buffer.alloc(99), 'lzo', KERNEL.length))).toContain(
      'is an EFI zboot kernel, which only firmware can start',
    );
  });

  it('is refused when it is damaged', async () => {
    const payload = gzipSync(KERNEL);
    const change = (at: number, value: number): Buffer => {
      const file = zboot(payload, 'gzip');
      file.writeUInt32LE(value, at);
      return file;
    };
    expect(await failure(payload.subarray(0, payload.length / 2))).toMatch(
      /^kernel: linux-kernel cannot be unpacked as gzip: .*\[KERNEL_INVALID\]/,
    );
    expect(await failure(change(0x1000 + payload.length / 2, 0xdeadbeef))).toContain('cannot be unpacked as gzip');
    for (const [at, value] of [
      [8, 0],
      [8, 0xffffffff],
      [8, 0x1100000],
      [12, 0],
      [12, 0xffffffff],
    ] as const) {
      expect(await failure(change(at, value))).toContain('is an EFI zboot kernel that says its kernel is');
    }
    expect(await failure(zboot(gzipSync(Buffer.alloc(5000, 1)), 'gzip'))).toContain('is not an arm64 kernel Image');
    expect(leftFolders()).toEqual([]);
    expect(readdirSync(root).sort()).toEqual(['igvm.json', 'kernel']);
  });

  itPacked('is refused when its size differs from the stated one', async () => {
    expect(await failure(zboot(packed('zstd', '-c'), 'zstd', KERNEL.length + 1))).toContain(
      `unpacks to ${KERNEL.length} bytes, and says that it has ${KERNEL.length + 1}`,
    );
  });

  it('is refused when it unpacks to more than any kernel needs', async () => {
    const source = bytesSource(gzipSync(KERNEL));
    await expect(unpackKernel(source, 'linux-kernel', KERNEL.length - 1)).rejects.toThrow(
      `linux-kernel unpacks to more than ${KERNEL.length - 1} bytes`,
    );
    expect(leftFolders()).toEqual([]);
  });
});
