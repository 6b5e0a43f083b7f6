import { E820, linuxDirectZeroPage, type ZeroPageContent } from './zero-page';

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
