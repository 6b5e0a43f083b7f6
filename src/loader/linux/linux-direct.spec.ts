import { LaidOutGuest } from '../guest/laid-out-guest.fixture';
import {
  encodeCommandLine,
  noteCutOff,
  HIGH_MEMORY_START,
  LINUX_MAP,
  LOW_MEMORY_END,
  SNP_LINUX_MAP,
  E820,
  linuxDirectZeroPage,
  type ZeroPageContent,
} from './linux-direct';
import { MP_FLOATING_POINTER_GPA } from './linux-processors';
import { buildIdentityMap } from '../cpu/tables-x64';

describe('encodeCommandLine', () => {
  it('is UTF-8 with a NUL', () => {
    expect([...encodeCommandLine('a=é', 2047, 4096)]).toEqual([0x61, 0x3d, 0xc3, 0xa9, 0]);
    expect([...encodeCommandLine('', 2047, 4096)]).toEqual([0]);
  });

  it.each([
    ['the kernel says', 100, 4096, 100],
    ['x86 kernels take, where the kernel does not say', undefined, 4096, 2047],
    ['x86 kernels take, where the kernel says 0', 0, 4096, 2047],
    ['the memory holds', 10000, 4096, 4095],
  ])('is at most as long as %s', (_name, kernelLimit, room, limit) => {
    expect(encodeCommandLine('x'.repeat(limit), kernelLimit, room)).toHaveLength(limit + 1);
    expect(() => encodeCommandLine('x'.repeat(limit + 1), kernelLimit, room)).toThrow(
      `command_line has ${limit + 1} bytes, and the kernel takes at most ${limit}`,
    );
  });

  it('counts bytes, not characters', () => {
    expect(() => encodeCommandLine('é'.repeat(51), 100, 4096)).toThrow(/102 bytes/);
  });

  it('must not contain a NUL', () => {
    expect(() => encodeCommandLine('quiet\0init=/bin/sh', 2047, 4096)).toThrow(/NUL as character 5/);
  });
});

describe('noteCutOff', () => {
  it.each([
    ['what the kernel says', 100, 100],
    ['what x86 kernels take', undefined, 2047],
  ])('notes a line longer than %s', async (_name, kernelLimit, limit) => {
    const { notes } = await LaidOutGuest.of({}, (importer) => {
      noteCutOff(importer, limit, kernelLimit);
      noteCutOff(importer, limit + 1, kernelLimit);
    });
    expect(notes).toEqual([
      expect.stringContaining(`${limit + 1} bytes, and the kernel reads only the first ${limit}`),
    ]);
  });

  it('refuses a line that must be read completely', async () => {
    const tooLong = LaidOutGuest.of({}, (importer) =>
      noteCutOff(importer, 101, 100, ['image', 'linux', 'command_line']),
    );
    await expect(tooLong).rejects.toMatchObject({
      code: 'LAYOUT_OUT_OF_RANGE',
      where: { jsonPath: ['image', 'linux', 'command_line'] },
    });
  });
});

describe.each([
  ['linux', LINUX_MAP, LOW_MEMORY_END],
  ['snp_linux_direct', SNP_LINUX_MAP, HIGH_MEMORY_START],
])('the low memory of %s', (_, map, limit) => {
  it('has its regions in ascending order', () => {
    let end = 0x1000;
    for (const { gpa, size } of Object.values(map)) {
      expect(gpa).toBeGreaterThanOrEqual(end);
      end = gpa + size;
    }
    expect(end).toBeLessThanOrEqual(limit);
  });

  it('has room for page tables of the first 4 GiB', () => {
    const tables = buildIdentityMap({ pageTableGpa: map.pageTables.gpa });
    expect(tables.length).toBeLessThanOrEqual(map.pageTables.size);
  });
});

it('has the MP floating pointer for Linux in the last KiB of low memory', () => {
  expect(MP_FLOATING_POINTER_GPA).toBe(LOW_MEMORY_END - 1024);
  expect(MP_FLOATING_POINTER_GPA).toBeGreaterThan(LINUX_MAP.mpTable.gpa);
});

const CONTENT: ZeroPageContent = {
  commandLine: { gpa: 0x3000, size: 5 },
  initrd: { gpa: 0x1000000, size: 77 },
  setupData: 0x1b000,
  memoryMap: [
    { start: 0, end: 0x1000, type: E820.RAM },
    { start: 0x1000, end: 0x1000, type: E820.ACPI },
    { start: 0x1000, end: 0x1_0000_0000, type: E820.RESERVED },
  ],
};
const page = (content: Partial<ZeroPageContent>): DataView =>
  new DataView(linuxDirectZeroPage({ ...CONTENT, ...content }).buffer);

describe('linuxDirectZeroPage', () => {
  it('has a minimal setup header for an ELF kernel', () => {
    const view = page({});
    expect(view.getUint16(0x1fe, true)).toBe(0xaa55);
    expect(view.getUint32(0x202, true)).toBe(0x53726448);
    expect(view.getUint8(0x210)).toBe(0xff);
    expect(view.getUint32(0x230, true)).toBe(0x100000);
    expect([0x218, 0x21c, 0x228, 0x238].map((offset) => view.getUint32(offset, true))).toEqual([
      0x1000000, 77, 0x3000, 5,
    ]);
    expect(view.getBigUint64(0x250, true)).toBe(0x1b000n);
  });

  it('keeps the setup header of a bzImage, except for the fields that a boot loader sets', () => {
    const setupHeader = new Uint8Array(0x268 - 0x1f1).fill(0x11);
    const view = page({
      initrd: undefined,
      bzImage: {
        setupHeader,
        payloadOffset: 0,
        payloadSize: 0,
        entryOffset: 0x200,
        preferredAddress: 0n,
        initSize: 0,
        commandLineSize: 0,
      },
    });
    expect(view.getUint16(0x206, true)).toBe(0x1111);
    expect(view.getUint8(0x210)).toBe(0xff);
    expect(view.getUint32(0x218, true)).toBe(0);
    expect(view.getUint8(0x267)).toBe(0x11);
    expect(view.getUint8(0x268)).toBe(0);
  });

  it('lists the ranges of memory that are not empty', () => {
    const view = page({});
    expect(view.getUint8(0x1e8)).toBe(2);
    expect(view.getBigUint64(0x2d0 + 20, true)).toBe(0x1000n);
    expect(view.getBigUint64(0x2d0 + 28, true)).toBe(0xfffff000n);
    expect(view.getUint32(0x2d0 + 36, true)).toBe(E820.RESERVED);
  });

  it('rejects a memory map that does not fit', () => {
    const memoryMap = Array.from({ length: 129 }, (_, index) => ({ start: index, end: index + 1, type: E820.RAM }));
    expect(() => page({ memoryMap })).toThrow(expect.objectContaining({ code: 'LAYOUT_OUT_OF_RANGE' }) as Error);
  });
});
