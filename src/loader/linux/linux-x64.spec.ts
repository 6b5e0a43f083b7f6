import type { DirectLinuxImage } from '../../manifest/model';
import { bytesSource } from '../../memory/byte-source';
import { decodeNativeContext } from '../../vp-context/native';
import { decodeVbsContext } from '../../vp-context/vbs';
import { elfFile } from '../formats/elf.fixture';
import type { GuestSpec } from '../guest/guest-platform';
import type { LinuxLoadInfo } from '../guest/kernel';
import { bytes, bzImageFile } from '../formats/kernel.fixture';
import { LaidOutGuest } from '../guest/laid-out-guest.fixture';
import { loadLinuxDirectX64 } from './linux-x64';

const MIB = 2 ** 20;
const code = bytes(0x2800, 1);
const bzImage = bzImageFile(code);
const vmlinux = elfFile('x64', 0x1000010, [{ address: 0x1000000, data: code, memorySize: 0x5000 }]);
const initrd = bytes(0x1234, 2);

const NATIVE: Partial<GuestSpec> = { native: true };
const VBS: Partial<GuestSpec> = { isolation: { type: 'vbs', enableDebug: false } };
const EMBEDDED = { boot_data: 'embedded', memory_size: 512 * MIB } as const;

interface Options {
  kernel?: Uint8Array;
  initrd?: Uint8Array;
  spec?: Partial<GuestSpec>;
}

async function layOut(
  image: Partial<DirectLinuxImage>,
  { kernel = bzImage, initrd: archive, spec = NATIVE }: Options = {},
): Promise<{ guest: LaidOutGuest; info: LinuxLoadInfo }> {
  let info: LinuxLoadInfo | undefined;
  const guest = await LaidOutGuest.of(spec, (importer) => {
    info = loadLinuxDirectX64(importer, {
      kernel: bytesSource(kernel),
      initrd: archive && bytesSource(archive),
      image: {
        use_initrd: archive !== undefined,
        command_line: 'console=ttyS0',
        boot_data: 'vmm',
        ...image,
      },
    });
  });
  return { guest, info: info as LinuxLoadInfo };
}

const text = (view: DataView): string => new TextDecoder().decode(view.buffer as ArrayBuffer).split('\0')[0] ?? '';

function e820(zeroPage: DataView): string[] {
  return Array.from({ length: zeroPage.getUint8(0x1e8) }, (_, index) => {
    const at = 0x2d0 + 20 * index;
    const start = zeroPage.getBigUint64(at, true);
    const end = start + zeroPage.getBigUint64(at + 8, true);
    return `${start.toString(16)}-${end.toString(16)} ${zeroPage.getUint32(at + 16, true)}`;
  });
}

const contextOf = (guest: LaidOutGuest): Uint8Array => guest.directives('vpContext')[0]?.data ?? new Uint8Array(0);

describe('loadLinuxDirectX64', () => {
  it('is a NATIVE guest in format V2 without isolation', async () => {
    const { file } = (await layOut({})).guest.built;
    expect(file).toMatchObject({ version: 2, arch: 'x64', platforms: [{ platformType: 0, highestVtl: 0 }] });
    expect(file.initializations).toEqual([]);
  });

  describe('with boot data from the VMM', () => {
    it('has a parameter area for everything that the VMM supplies', async () => {
      const { guest } = await layOut({}, { kernel: vmlinux, initrd });
      expect(guest.map).toEqual([
        'linux-zeropage 1000-2000',
        'default-gdt 2000-3000',
        'linux-pagetables 3000-9000',
        'linux-cmdline a000-b000',
        'linux-memory-map b000-f000',
        'linux-madt f000-10000',
        'linux-srat 10000-12000',
        'linux-slit 12000-13000',
        'linux-pptt 13000-14000',
        'linux-kernel 1000000-1005000',
        'linux-initrd 1200000-1202000',
      ]);
      expect(guest.directives('parameter').map(({ kind, index, byteOffset }) => [kind, index, byteOffset])).toEqual([
        ['commandLine', 0, 0],
        ['memoryMap', 1, 0],
        ['madt', 2, 0],
        ['srat', 3, 0],
        ['slit', 4, 0],
        ['pptt', 5, 0],
      ]);
      expect(guest.directives('pageData').map(({ gpa }) => gpa)).toEqual([
        0x1000000, 0x1200000, 0x2000, 0x3000, 0x1000,
      ]);
      expect(guest.directives('requiredMemory')).toEqual([]);
    });

    it('fills the area of the command line from the manifest, and leaves the others empty', async () => {
      const { guest } = await layOut({ command_line: 'quiet splash' });
      const [first, ...others] = guest.directives('parameterArea').map(({ initialData }) => {
        const data = new Uint8Array(initialData.size);
        initialData.read(0, data);
        return new TextDecoder().decode(data);
      });
      expect(first).toBe('quiet splash\0');
      expect(others).toEqual(['', '', '', '', '']);
      const empty = (await layOut({ command_line: '' })).guest.directives('parameterArea');
      expect(empty[0]?.initialData.size).toBe(0);
    });

    it('has an e820 map only if the size of the memory is known, with ranges that are the same in all VMMs', async () => {
      expect(e820((await layOut({})).guest.page(0x1000))).toEqual([]);
      const known = await layOut({ memory_size: 512 * MIB });
      expect(e820(known.guest.page(0x1000))).toEqual(['0-a0000 1', 'a0000-100000 2', '100000-20000000 1']);
      expect(known.guest.notes).toEqual([]);
      const large = await layOut({ memory_size: 8192 * MIB });
      expect(e820(large.guest.page(0x1000)).at(-1)).toBe('100000-80000000 1');
      expect(large.guest.notes[0]).toContain('first 2 GiB');
    });

    it('refuses a kernel without segments', async () => {
      const kernel = elfFile('x64', 0x1000010, []);
      await expect(layOut({}, { kernel })).rejects.toMatchObject({
        code: 'KERNEL_INVALID',
        message: 'linux-kernel has no segment to load',
      });
    });

    it('refuses processor_count', async () => {
      await expect(layOut({ processor_count: 2 })).rejects.toMatchObject({ code: 'CONFIG_UNSUPPORTED' });
    });
  });

  describe('with embedded boot data', () => {
    it('has only what every VMM accepts: pages outside the hole, required memory, a context', async () => {
      const { guest } = await layOut({ ...EMBEDDED }, { initrd });
      const kinds = new Set(guest.built.file.directives.map(({ type }) => type));
      expect(kinds).toEqual(new Set(['requiredMemory', 'vpContext', 'pageData']));
      for (const { gpa, pageCount } of guest.directives('pageData')) {
        expect(gpa + pageCount * 4096 <= 0xa0000 || gpa >= 0x100000).toBe(true);
        expect(gpa + pageCount * 4096).toBeLessThanOrEqual(EMBEDDED.memory_size);
      }
    });

    it('requires the memory from 1 MiB to its end, and describes it to the kernel', async () => {
      const { guest } = await layOut({ ...EMBEDDED });
      expect(guest.directives('requiredMemory')).toMatchObject([{ gpa: MIB, size: 511 * MIB, vtl2Protectable: false }]);
      expect(e820(guest.page(0x1000))).toEqual(['0-a0000 1', 'a0000-100000 2', '100000-20000000 1']);
    });

    it('has the command line as data', async () => {
      const { guest } = await layOut({ ...EMBEDDED, command_line: 'console=ttyS0 name=ünïcode' });
      expect(text(guest.page(0xa000))).toBe('console=ttyS0 name=ünïcode');
      expect(guest.page(0x1000).getUint32(0x228, true)).toBe(0xa000);
      const empty = await layOut({ ...EMBEDDED, command_line: '' });
      expect(text(empty.guest.page(0xa000))).toBe('');
    });

    it('starts at the processor fix-up with processor_count, whose pages the kernel does not use', async () => {
      const { guest } = await layOut({ ...EMBEDDED, processor_count: 2 });
      expect(decodeNativeContext(contextOf(guest)).rip).toBe(0x9d000n);
      expect(e820(guest.page(0x1000))).toEqual(['0-9c000 1', '9c000-100000 2', '100000-20000000 1']);
      expect(guest.page(0x1000).getBigUint64(0x70, true)).toBe(0x9c000n);
      expect((await layOut({ ...EMBEDDED })).guest.page(0x1000).getBigUint64(0x70, true)).toBe(0n);
      expect(guest.directives('parameter').map(({ kind }) => kind)).toEqual(['vpCount']);
      expect(guest.gpaOf('linux-mp-table')).toBe(0x9f000);
    });

    it.each([
      ['missing', undefined, 'CONFIG_UNSUPPORTED', 'needs memory_size'],
      ['not a multiple of 4096', 512 * MIB + 1, 'LAYOUT_OUT_OF_RANGE', 'multiple of 4096'],
      [
        'below 1 MiB',
        4096,
        'LAYOUT_OUT_OF_RANGE',
        'memory_size is 4096 bytes, and the kernel and the initrd need at least',
      ],
      [
        'below the end of init_size',
        0x1300000,
        'LAYOUT_OUT_OF_RANGE',
        'memory_size is 19 MiB, and the kernel and the initrd need at least 21 MiB: 22020096',
      ],
      [
        'below the end of the initrd',
        0x1401000,
        'LAYOUT_OUT_OF_RANGE',
        'memory_size is 20975616 bytes, and the kernel and the initrd need',
      ],
      ['above 2 GiB', 2048 * MIB + 4096, 'LAYOUT_OUT_OF_RANGE', 'at most 2147483648'],
    ])('rejects a memory_size that is %s', async (_name, size, errorCode, message) => {
      await expect(layOut({ boot_data: 'embedded', memory_size: size }, { initrd })).rejects.toMatchObject({
        code: errorCode,
        message: expect.stringContaining(message) as string,
        where: { jsonPath: ['image', 'linux', 'memory_size'] },
      });
    });

    it.each([0x1402000, 2048 * MIB])('accepts a memory_size of %d', async (size) => {
      await expect(layOut({ boot_data: 'embedded', memory_size: size }, { initrd })).resolves.toBeDefined();
    });
  });

  it('loads a bzImage at 1 MiB and gives the kernel its own header', async () => {
    const { guest } = await layOut({}, { initrd });
    expect(guest.map.slice(-2)).toEqual(['linux-kernel 100000-103000', 'linux-initrd 1400000-1402000']);
    const zeroPage = guest.page(0x1000);
    expect(zeroPage.getUint32(0x202, true)).toBe(0x53726448);
    expect(zeroPage.getUint32(0x260, true)).toBe(0x300000);
    expect(zeroPage.getUint8(0x210)).toBe(0xff);
    expect([0x218, 0x21c].map((at) => zeroPage.getUint32(at, true))).toEqual([0x1400000, 0x1234]);
    expect(decodeNativeContext(contextOf(guest)).rip).toBe(0x100200n);
  });

  it.each(['vmm', 'embedded'] as const)(
    "keeps the kernel's own limit of the command line in the zero page: %s",
    async (bootData) => {
      const options = bootData === 'embedded' ? EMBEDDED : {};
      const limited = bzImageFile(code, { cmdline_size: 255 });
      for (const command_line of ['', 'quiet']) {
        const { guest } = await layOut({ ...options, command_line }, { kernel: limited });
        expect(guest.page(0x1000).getUint32(0x238, true)).toBe(255);
        const elf = await layOut({ ...options, command_line }, { kernel: vmlinux });
        expect(elf.guest.page(0x1000).getUint32(0x238, true)).toBe(2047);
      }
    },
  );

  it('enters an ELF kernel at its entry point, with a substitute header and no initrd', async () => {
    const { guest } = await layOut({}, { kernel: vmlinux });
    const zeroPage = guest.page(0x1000);
    expect([zeroPage.getUint16(0x1fe, true), zeroPage.getUint32(0x202, true)]).toEqual([0xaa55, 0x53726448]);
    expect([0x218, 0x21c].map((at) => zeroPage.getUint32(at, true))).toEqual([0, 0]);
    expect(decodeNativeContext(contextOf(guest))).toMatchObject({
      rip: 0x1000010n,
      rsi: 0x1000n,
      rflags: 2n,
      cr0: 0x80000001n,
      cr3: 0x3000n,
      cr4: 0x20n,
      efer: 0xd01n,
      gdtr: { base: 0x2000n, limit: 0x1f },
      code: { selector: 8, attributes: 0xa09b, base: 0n, limit: 0xffffffff },
      data: { selector: 0x10, attributes: 0xc093, base: 0n, limit: 0xffffffff },
    });
  });

  it('notes in one line what a native context leaves to the VMM', async () => {
    const { notes, details } = (await layOut({})).guest;
    expect(notes).toEqual([]);
    expect(details).toHaveLength(1);
    expect(details[0]).toContain('pat, mtrrDefType, mtrrFix64k00000, mtrrFix16k80000');
  });

  it('sets PAT and MTRRs too in a VBS context, in format V1', async () => {
    const { guest } = await layOut({}, { spec: VBS });
    expect([...guest.notes, ...guest.details]).toEqual([]);
    expect(guest.built.file.version).toBe(1);
    const { vtl, registers } = decodeVbsContext(contextOf(guest), 'x64');
    expect(vtl).toBe(0);
    expect(registers.map(({ name }) => name).join(' ')).toBe(
      'gdtr ds es fs gs ss cs cr0 cr3 cr4 efer pat rip rsi mtrrDefType mtrrFix64k00000 mtrrFix16k80000',
    );
    expect(registers).toContainEqual({ name: 'pat', value: 0x0007040600070406n });
  });

  it.each<[string, Partial<GuestSpec>, RegExp]>([
    [
      'SNP',
      {
        maxVtl: 2,
        isolation: {
          type: 'snp',
          policy: 0n,
          injectionType: 'normal',
          secureAvic: 'disabled',
          sharedGpaBoundaryBits: 46,
        },
      },
      /under snp: use snp_linux_direct or openhcl/,
    ],
    ['TDX', { maxVtl: 2, isolation: { type: 'tdx', policy: 0n } }, /under tdx: use openhcl \(or snp_linux_direct/],
  ])('refuses %s, and names what to use instead', async (_, spec, message) => {
    await expect(layOut({}, { spec })).rejects.toMatchObject({
      code: 'ISOLATION_UNSUPPORTED',
      message: expect.stringMatching(message) as string,
    });
  });

  it('rejects a program that is given as a kernel', async () => {
    const program = elfFile('x64', 0x1000010, [
      { address: 0x1000000, data: code },
      { address: 0x1100000, data: code },
    ]);
    await expect(layOut({}, { kernel: program })).resolves.toBeDefined();
    new DataView(program.buffer).setUint32(64 + 56, 3, true); // PT_INTERP
    await expect(layOut({}, { kernel: program })).rejects.toMatchObject({
      code: 'KERNEL_INVALID',
      message: expect.stringContaining('is a program for user space, or a shared library, not a kernel') as string,
    });
  });

  it('rejects kernels that lie outside the memory of the guest or overlap its boot data', async () => {
    const at = (address: number): Uint8Array => elfFile('x64', address, [{ address, data: bytes(0x2000, 3) }]);
    for (const address of [0x9f000, 0xa0000, 0xff000]) {
      await expect(layOut({}, { kernel: at(address) })).rejects.toMatchObject({
        code: 'LAYOUT_OVERLAP',
        message: expect.stringContaining('video memory and BIOS') as string,
      });
    }
    await expect(layOut({}, { kernel: at(0x2000) })).rejects.toMatchObject({ code: 'LAYOUT_OVERLAP' });
    await expect(layOut({}, { kernel: at(0x20000) })).resolves.toBeDefined();
    await expect(layOut({ ...EMBEDDED, processor_count: 1 }, { kernel: at(0x9b000) })).rejects.toMatchObject({
      code: 'LAYOUT_OVERLAP',
    });
  });

  it.each([0x1000, 0xfff000, 0x1005000, 0xffffffff81000000])(
    'rejects an ELF kernel whose entry point %d is outside it',
    async (entry) => {
      const kernel = elfFile('x64', entry, [{ address: 0x1000000, data: code, memorySize: 0x5000 }]);
      await expect(layOut({}, { kernel })).rejects.toMatchObject({ code: 'KERNEL_INVALID', where: { offset: 24 } });
    },
  );

  it('rejects a kernel above 4 GiB, which its page tables do not map', async () => {
    const at = (address: number): Uint8Array => elfFile('x64', address, [{ address, data: code }]);
    await expect(layOut({}, { kernel: at(2 ** 32 - 0x3000) })).resolves.toBeDefined();
    for (const address of [2 ** 32 - 0x2000, 0x140000000]) {
      await expect(layOut({}, { kernel: at(address) })).rejects.toMatchObject({
        code: 'LAYOUT_OUT_OF_RANGE',
        message: expect.stringContaining('linux-kernel reaches above 4 GiB') as string,
      });
    }
  });

  it('rejects an initrd above 4 GiB', async () => {
    const high = 2 ** 32 - 0x10000;
    const kernel = elfFile('x64', high, [{ address: high, data: code }]);
    await expect(layOut({}, { kernel, initrd })).rejects.toMatchObject({ code: 'LAYOUT_OUT_OF_RANGE' });
  });

  it('rejects a command line that the kernel would truncate', async () => {
    await expect(layOut({ command_line: 'x'.repeat(2047) })).resolves.toBeDefined();
    await expect(layOut({ command_line: 'x'.repeat(2048) })).rejects.toMatchObject({ code: 'LAYOUT_OUT_OF_RANGE' });
    const kernel = bzImageFile(code, { cmdline_size: 10 });
    await expect(layOut({ command_line: 'x'.repeat(11) }, { kernel })).rejects.toThrow(/at most 10/);
  });
});
