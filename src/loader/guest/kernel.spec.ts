import { IgvmError } from '../../errors/igvm-error';
import type { GuestArch } from '../../igvm/model';
import { bytesSource } from '../../memory/byte-source';
import { elfFile } from '../formats/elf.fixture';
import { arm64ImageFile, bytes, bzImageFile } from '../formats/kernel.fixture';
import { type LinuxLoadInfo, loadKernelAndInitrdArm64, loadKernelAndInitrdX64 } from './kernel';
import { LaidOutGuest } from './laid-out-guest.fixture';

interface Load {
  kernel: Uint8Array;
  initrd?: Uint8Array;
  start?: number;
  /** arm64 only. */
  label?: string;
}

async function load(arch: GuestArch, { kernel, initrd, start = 0x100000, label }: Load) {
  let info: LinuxLoadInfo | undefined;
  const guest = await LaidOutGuest.of({ arch }, (importer) => {
    const loader = arch === 'x64' ? loadKernelAndInitrdX64 : loadKernelAndInitrdArm64;
    info = loader(importer, bytesSource(kernel), start, initrd && bytesSource(initrd), label);
  });
  return { guest, info: info as LinuxLoadInfo };
}

const failure = (arch: GuestArch, parameters: Load): Promise<IgvmError> =>
  load(arch, parameters).then(
    () => Promise.reject(new Error('no failure')),
    (error: unknown) => (error instanceof IgvmError ? error : Promise.reject(error as Error)),
  );

const code = bytes(0x2010, 1);
const initrd = bytes(0x1801, 9);

describe('loadKernelAndInitrdX64', () => {
  it('puts a bzImage at the start address and the initrd after the memory that it unpacks to', async () => {
    const { guest, info } = await load('x64', { kernel: bzImageFile(code), initrd });
    expect(info.kernel).toEqual({
      gpa: 0x100000,
      size: 0x3000,
      entrypoint: 0x100200n,
      segments: [{ start: 0x100000, end: 0x103000 }],
      end: 0x1300000n,
    });
    expect(info.initrd).toEqual({ gpa: 0x1400000, size: 0x1801 });
    expect(guest.map).toEqual(['linux-kernel 100000-103000', 'linux-initrd 1400000-1402000']);
    expect(guest.page(0x102000).getUint8(0xf)).toBe(code[0x200f]);
    expect(guest.page(0x102000).getUint8(0x10)).toBe(0);
    expect(guest.page(0x1401000).getUint8(0x800)).toBe(initrd[0x1800]);
  });

  it('leaves room for a bzImage above its preferred address, and for one larger than its init_size', async () => {
    const low = bzImageFile(code, { pref_address: 0x10000n, init_size: 0x300000 });
    expect((await load('x64', { kernel: low, initrd })).info.initrd?.gpa).toBe(0x400000);
    const small = bzImageFile(code, { pref_address: 0n, init_size: 1 });
    expect((await load('x64', { kernel: small, initrd })).info).toMatchObject({
      kernel: { end: 0x103000n },
      initrd: { gpa: 0x200000 },
    });
  });

  it('puts the initrd after an ELF kernel, at 2 MiB, and leaves gaps between segments free', async () => {
    const kernel = elfFile('x64', 0x1000000, [
      { address: 0x1000000, data: code },
      { address: 0x1100000, data: code, memorySize: 0x100001 },
    ]);
    const { info } = await load('x64', { kernel, initrd });
    expect(info).toMatchObject({
      kernel: { gpa: 0x1000000, size: 0x201000, entrypoint: 0x1000000n, end: 0x1201000n },
      initrd: { gpa: 0x1400000 },
    });
    expect(info.bzImage).toBeUndefined();
  });

  it('gives an empty initrd an address but no pages', async () => {
    const { guest, info } = await load('x64', { kernel: bzImageFile(code), initrd: new Uint8Array(0) });
    expect(info.initrd).toEqual({ gpa: 0x1400000, size: 0 });
    expect(guest.map).toEqual(['linux-kernel 100000-103000']);
  });

  it('rejects a bzImage with a code size larger than the file', async () => {
    const kernel = bzImageFile(code, { syssize: code.length / 16 + 1 });
    expect(await failure('x64', { kernel })).toMatchObject({ code: 'KERNEL_INVALID', where: { offset: 1024 } });
    const giant = bzImageFile(code, { syssize: 0xffffffff });
    expect((await failure('x64', { kernel: giant })).code).toBe('KERNEL_INVALID');
  });

  it('rejects a bzImage that leaves no room for an initrd, but loads it without one', async () => {
    const kernel = bzImageFile(code, { pref_address: 2n ** 64n - 1n });
    expect((await failure('x64', { kernel, initrd })).message).toMatch(
      /^linux-kernel needs memory up to 0x1[0-9a-f]+, which leaves no place for the initrd$/,
    );
    expect((await load('x64', { kernel })).info.kernel.end).toBe(2n ** 64n - 1n + 0x300000n);
  });

  it('rejects a file that is neither a bzImage nor an ELF file', async () => {
    expect((await failure('x64', { kernel: bytes(5000, 1) })).message).toContain('neither a bzImage');
    expect((await failure('x64', { kernel: new Uint8Array(0) })).message).toContain('is an empty file');
    expect((await failure('x64', { kernel: bytes(3, 1) })).message).toContain('neither a bzImage');
  });
});

describe('loadKernelAndInitrdArm64', () => {
  it('places the Image at its text offset with the memory that it requests', async () => {
    const kernel = arm64ImageFile(0x1800, { textOffset: 0x80000n, imageSize: 0x4001n });
    const { guest, info } = await load('aarch64', { kernel, initrd, start: 0x200000 });
    expect(info).toEqual({
      kernel: {
        gpa: 0x200000,
        size: 0x5000,
        entrypoint: 0x280000n,
        segments: [{ start: 0x280000, end: 0x285000 }],
        end: 0x285000n,
      },
      initrd: { gpa: 0x400000, size: 0x1801 },
    });
    expect(guest.page(0x281000).getUint8(0x7ff)).toBe(kernel[0x17ff]);
    expect([0x282000, 0x283000, 0x284000].every((gpa) => guest.isEmpty(gpa))).toBe(true);
  });

  it("uses the file's size if the header has none", async () => {
    const { info } = await load('aarch64', { kernel: arm64ImageFile(0x1801, { imageSize: 0n }), start: 0 });
    expect(info.kernel.size).toBe(0x2000);
  });

  it.each([
    ['larger than its memory', arm64ImageFile(0x2000, { imageSize: 0x1000n }), 'needs only 4096 bytes', 16],
    ['with a giant memory', arm64ImageFile(0x1000, { imageSize: 2n ** 64n - 1n }), 'beyond the address space', 16],
    [
      'that asks for more memory than any real one',
      arm64ImageFile(0x1000, { imageSize: 2n ** 32n + 0x1001n }),
      'at most 4 GiB is allowed',
      undefined,
    ],
    ['with a giant offset', arm64ImageFile(0x1000, { textOffset: 2n ** 63n }), 'beyond the address space', 8],
  ])('rejects a kernel %s', async (_name, kernel, message, offset) => {
    const error = await failure('aarch64', { kernel, start: 0 });
    expect([error.code, error.where.offset]).toEqual(['KERNEL_INVALID', offset]);
    expect(error.message).toContain(message);
  });

  it.each([
    ['no Image', arm64ImageFile(0x1000, { magic: 0x58585858 })],
    ['too large', arm64ImageFile(0x1000, { imageSize: 2n ** 64n - 1n })],
    ['larger than its memory', arm64ImageFile(0x2000, { imageSize: 0x1000n })],
    ['beyond all addresses', arm64ImageFile(0x1000, { textOffset: 2n ** 52n - 0x1000n, imageSize: 0x2000n })],
  ])('names the kernel of a paravisor if it is %s', async (_, kernel) => {
    expect((await failure('aarch64', { kernel, start: 0, label: 'underhill-kernel' })).message).toMatch(
      /^underhill-kernel /,
    );
  });

  it('rejects a kernel whose offset and size together exceed the address space', async () => {
    const kernel = arm64ImageFile(0x1000, { textOffset: 2n ** 52n - 0x1000n, imageSize: 0x2000n });
    expect((await failure('aarch64', { kernel, start: 0 })).code).toBe('LAYOUT_OUT_OF_RANGE');
  });
});
