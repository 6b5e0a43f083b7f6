import { pathOf } from '../../errors/json-path.fixture';
import { bytesSource } from '../../memory/byte-source';
import { elfFile } from '../formats/elf.fixture';
import { bzImageFile } from '../formats/kernel.fixture';
import { LaidOutGuest } from '../guest/laid-out-guest.fixture';
import { loadSnpLinuxDirect, type SnpLinuxDirect } from './snp-linux-direct';

const KERNEL = bytesSource(elfFile('x64', 0x100040, [{ address: 0x100000, data: new Uint8Array(0x2100).fill(9) }]));
const GUEST: SnpLinuxDirect = {
  kernel: KERNEL,
  initrd: bytesSource(new Uint8Array(5000).fill(3)),
  commandLine: 'console=ttyS0',
  processorCount: 1,
  memoryPageCount: 1024,
  cBitPosition: 51,
};

const layOut = (changes: Partial<SnpLinuxDirect> = {}): Promise<LaidOutGuest> => {
  const guest = { ...GUEST, ...changes };
  return LaidOutGuest.of(
    {
      isolation: { type: 'snp', policy: 0x30000n, injectionType: 'normal', secureAvic: 'disabled' },
      snpLinuxDirect: { cBitMask: 1n << BigInt(guest.cBitPosition), ramPageCount: guest.memoryPageCount },
    },
    (importer) => loadSnpLinuxDirect(importer, guest),
  );
};

describe('loadSnpLinuxDirect', () => {
  it('builds a guest without a kernel if the file has no segments, and says so', async () => {
    const guest = await layOut({ kernel: bytesSource(elfFile('x64', 0x100040, [])), initrd: undefined });
    expect(guest.map).toContain('accepted-zero-ram e1000-400000');
    expect(guest.notes).toEqual([
      'linux-kernel has no segment to load: none of it is in the image',
      expect.stringContaining('1009 of its 1024 pages'),
    ]);
  });

  it('lays out boot data below 1 MiB, kernel and initrd above, and imports all other memory', async () => {
    const guest = await layOut();
    expect(guest.map).toEqual([
      'accepted-zero-ram 0-1000',
      'default-gdt 1000-2000',
      'linux-zeropage 2000-3000',
      'linux-commandline 3000-4000',
      'linux-pagetables 4000-a000',
      'accepted-zero-ram a000-19000',
      'linux-acpi-tables 19000-1a000',
      'linux-snp-secrets 1a000-1b000',
      'linux-snp-cpuid 1b000-1c000',
      'linux-snp-cc-blob 1c000-1d000',
      'linux-snp-cc-setup-data 1d000-1e000',
      'accepted-zero-ram 1e000-e0000',
      'linux-rsdp e0000-e1000',
      'accepted-zero-ram e1000-100000',
      'linux-kernel 100000-103000',
      'accepted-zero-ram 103000-200000',
      'linux-initrd 200000-202000',
      'accepted-zero-ram 202000-400000',
      'vp-context-page fffffffff000-1000000000000',
    ]);
  });

  it('maps memory with the C-bit', async () => {
    const guest = await layOut({ cBitPosition: 47 });
    expect(guest.page(0x4000).getBigUint64(0, true)).toBe((1n << 47n) | 0x5023n);
    expect(guest.page(0x6000).getBigUint64(8, true)).toBe((1n << 47n) | 0x2000e3n);
  });

  it('points Linux to secrets and CPUID through the zero page', async () => {
    const guest = await layOut();
    const zeroPage = guest.page(0x2000);
    const setupData = guest.page(Number(zeroPage.getBigUint64(0x250, true)));
    expect(setupData.getUint32(8, true)).toBe(7);
    const blob = guest.page(setupData.getUint32(16, true));
    expect(blob.getUint32(0, true)).toBe(0x45444d41);
    expect(Number(blob.getBigUint64(8, true))).toBe(guest.gpaOf('linux-snp-secrets'));
    expect(Number(blob.getBigUint64(24, true))).toBe(guest.gpaOf('linux-snp-cpuid'));
    expect(guest.run(guest.gpaOf('linux-snp-cpuid')).dataType).toBe(2);
  });

  it('describes all of its memory in the e820 map', async () => {
    const zeroPage = (await layOut()).page(0x2000);
    const map = Array.from({ length: zeroPage.getUint8(0x1e8) }, (_, index) => {
      const at = 0x2d0 + index * 20;
      return [
        Number(zeroPage.getBigUint64(at, true)),
        Number(zeroPage.getBigUint64(at + 8, true)),
        zeroPage.getUint32(at + 16, true),
      ];
    });
    expect(map).toEqual([
      [0, 0x19000, 1],
      [0x19000, 0x1000, 3],
      [0x1a000, 0x5000, 2],
      [0x1f000, 0xc1000, 1],
      [0xe0000, 0x20000, 2],
      [0x100000, 0x300000, 1],
    ]);
  });

  it('leaves out an empty command line and a missing initrd', async () => {
    const guest = await layOut({ commandLine: '', initrd: undefined });
    expect(guest.map.filter((range) => /commandline|initrd/.test(range))).toEqual([]);
  });

  it.each([
    ['less than 1 MiB of memory', { memoryPageCount: 255 }, 'needs at least 256 pages', 'memory_page_count'],
    [
      'a kernel beyond its memory',
      { memoryPageCount: 258, initrd: undefined },
      'it takes at least 259 to load',
      'memory_page_count',
    ],
    ['a command line above one page', { commandLine: 'é'.repeat(2048) }, 'room for 4095', 'linux.command_line'],
    ['processors whose tables do not fit', { processorCount: 10999 }, 'of 10999 processors', 'processor_count'],
    ['processors that have no name', { processorCount: 2 ** 32 - 1 }, 'of 4294967295 processors', 'processor_count'],
  ] as const)('rejects %s', async (_, changes, message, option) => {
    await expect(layOut(changes)).rejects.toMatchObject({
      code: 'LAYOUT_OUT_OF_RANGE',
      message: expect.stringContaining(message) as string,
      where: { jsonPath: pathOf(`image.snp_linux_direct.${option}`) },
    });
  });

  it('rejects a file that is not a kernel', async () => {
    await expect(layOut({ kernel: bytesSource(new Uint8Array(100)) })).rejects.toMatchObject({
      code: 'KERNEL_INVALID',
    });
  });

  it('builds a guest with exactly the memory that its kernel takes', async () => {
    const guest = await layOut({ memoryPageCount: 259, initrd: undefined });
    expect(guest.gpaOf('linux-kernel')).toBe(0x100000);
    expect(guest.notes).toEqual([expect.stringContaining('the image is dense')]);
  });

  it('reports the maximum number of processors', async () => {
    const error: unknown = await layOut({ processorCount: 10999 }).catch((reason: unknown) => reason);
    const limit = Number(/: at most (\d+) do$/.exec((error as Error).message)?.[1]);
    await expect(layOut({ processorCount: limit })).resolves.toBeDefined();
    await expect(layOut({ processorCount: limit + 1 })).rejects.toThrow(`: at most ${limit} do`);
  });

  it('builds, with notes, images that the kernel cannot start with: a long command line, little memory', async () => {
    const kernel = bytesSource(bzImageFile(new Uint8Array(0x2800), { cmdline_size: 100, init_size: 0x4000000 }));
    const initrd = undefined;
    expect((await layOut({ kernel, initrd, commandLine: 'x'.repeat(101) })).notes).toEqual([
      expect.stringContaining('the kernel reads only the first 100'),
      'the kernel needs memory up to 0x5000000 to start, but memory_page_count ends it at 0x400000',
      expect.stringContaining('the image is dense'),
    ]);
    expect((await layOut({ kernel, initrd, commandLine: 'x'.repeat(100), memoryPageCount: 0x5000 })).notes).toEqual([
      expect.stringContaining('the image is dense'),
    ]);
  });
});

describe('loadSnpLinuxDirect with a boot shim', () => {
  const bootShim = bytesSource(
    elfFile('x64', 0x40, [
      { address: 0, data: new Uint8Array(0x1100).fill(7) },
      { address: 0x4000, data: new Uint8Array(10).fill(8), memorySize: 0x1800 },
    ]),
  );

  it('has the shim and its parameters after everything else, and no other memory', async () => {
    const guest = await layOut({ bootShim });
    expect(guest.map).not.toContainEqual(expect.stringContaining('accepted-zero-ram'));
    expect(guest.map.slice(-5)).toEqual([
      'linux-initrd 200000-202000',
      'snp-bootshim 202000-204000',
      'snp-bootshim 206000-208000',
      'snp-bootshim-params 208000-209000',
      'vp-context-page fffffffff000-1000000000000',
    ]);
    expect(guest.notes).toEqual([expect.stringMatching(/is sparse, .* accepts 999 of 1024 pages at boot/)]);
  });

  it('starts at the shim, and passes it the place of the kernel and the memory to accept', async () => {
    const guest = await layOut({ bootShim });
    const vmsa = Buffer.from(guest.directives('vpContext')[0]!.data);
    expect(vmsa.readBigUInt64LE(0x178)).toBe(0x202040n);
    expect(vmsa.readBigUInt64LE(0x330)).toBe(0x208000n);
    const page = guest.page(0x208000);
    expect(Buffer.from(page.buffer).toString('latin1', 0, 8)).toBe('SNPBSHIM');
    expect([page.getUint32(8, true), page.getUint32(12, true)]).toEqual([1, 7]);
    expect([0x10, 0x18, 0x20, 0x28].map((at) => page.getBigUint64(at, true))).toEqual([
      0x100040n,
      0x2000n,
      0x400000n,
      0n,
    ]);
    const ranges = Array.from({ length: 7 }, (_, index) =>
      [0, 8].map((field) => Number(page.getBigUint64(0x30 + index * 16 + field, true))),
    );
    expect(ranges.slice(0, 2)).toEqual([
      [0, 1],
      [0xa, 0xf],
    ]);
    expect(ranges.slice(-2)).toEqual([
      [0x204, 2],
      [0x209, 0x1f7],
    ]);
  });

  it('stays clear of the memory in which a bzImage unpacks itself', async () => {
    const kernel = bytesSource(bzImageFile(new Uint8Array(0x2800)));
    const guest = await layOut({ bootShim, kernel, initrd: undefined, memoryPageCount: 8192 });
    expect(guest.gpaOf('snp-bootshim')).toBe(0x1300000);
  });

  it('has one proximity domain for all processors, but one for each without a shim', async () => {
    const domains = async (shim: typeof bootShim | undefined): Promise<number[]> => {
      const guest = await layOut({ bootShim: shim, processorCount: 3 });
      const tables = Buffer.from(guest.page(0x19000).buffer);
      const srat = tables.indexOf('SRAT');
      return [0, 1, 2].map((index) => tables[srat + 48 + 16 * index + 2]!);
    };
    expect(await domains(bootShim)).toEqual([0, 0, 0]);
    expect(await domains(undefined)).toEqual([0, 1, 2]);
  });

  it('works with restricted injection, which needs a shim', async () => {
    await expect(layOut({ bootShim, injectionType: 'restricted' })).resolves.toBeDefined();
    await expect(layOut({ injectionType: 'restricted' })).rejects.toMatchObject({
      code: 'CONFIG_UNSUPPORTED',
      where: { jsonPath: ['isolation_type', 'snp', 'injection_type'] },
    });
  });

  it.each([
    [
      'memory that ends before its parameters',
      { memoryPageCount: 0x208 },
      'it takes at least 521',
      'LAYOUT_OUT_OF_RANGE',
    ],
    [
      'a kernel that needs all addresses',
      { kernel: bytesSource(bzImageFile(new Uint8Array(0x2800), { pref_address: 2n ** 63n })), initrd: undefined },
      'leaves no place for snp-bootshim',
      'KERNEL_INVALID',
    ],
    [
      'a file that is not a shim',
      { bootShim: bytesSource(new Uint8Array(100)) },
      'snp-bootshim is not an ELF file',
      'KERNEL_INVALID',
    ],
  ])('rejects %s', async (_, changes, message, code) => {
    await expect(layOut({ bootShim, ...changes })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message) as string,
    });
  });
});
