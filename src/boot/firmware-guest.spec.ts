import type { Directive, IgvmFile } from '../igvm/model';
import { memorySink } from '../igvm/file-data';
import { HOB_AREA, ovmfFirmware } from '../loader/ovmf/ovmf-firmware.fixture';
import { addPrograms } from '../loader/ovmf/update';
import { wrapFirmware, type WrapOptions } from '../loader/ovmf/wrap';
import { bytesSource } from '../memory/byte-source';
import { firmwareGuest, startsAtResetVector, writeFirmware, writeRanges } from './firmware-guest';
import { nativeImage, pageData } from './native-image.fixture';
import { nativeGuest, nativeMemory } from './native-guest';

const FIRMWARE = ovmfFirmware();

const wrapped = (options: Partial<WrapOptions> = {}): IgvmFile =>
  wrapFirmware({
    firmware: bytesSource(FIRMWARE),
    native: true,
    snp: true,
    parameters: true,
    bootMode: 'real16',
    ...options,
  });
const withMore = (...more: Directive[]): IgvmFile => {
  const file = wrapped();
  return { ...file, directives: [...file.directives, ...more] };
};
const guestOf = (file: IgvmFile) => firmwareGuest(nativeMemory(file));

describe('firmware in an image', () => {
  it('is distinguished from kernels', () => {
    expect(startsAtResetVector(nativeMemory(wrapped()))).toBe(true);
    expect(startsAtResetVector(nativeMemory(wrapped({ bootMode: 'flat32' })))).toBe(true);
    expect(startsAtResetVector(nativeMemory(nativeImage()))).toBe(false);
    // The context of a kernel decides, whatever lies below 4 GiB.
    expect(startsAtResetVector(nativeMemory(nativeImage([pageData(0xffff_f000)])))).toBe(false);
  });

  it('cannot be read as a PVH kernel', () => {
    expect(() => nativeGuest(wrapped())).toThrow(/firmware that starts at the reset vector, which cannot be converted/);
  });

  it('ends at 4 GiB, after its variables; added programs are in memory', () => {
    const kernel = bytesSource(new Uint8Array(5000).fill(7));
    const guest = guestOf(addPrograms(wrapped({ vars: bytesSource(new Uint8Array(0x4000).fill(9)) }), { kernel }));
    expect(guest.firmwareSize).toBe(0x14000);
    expect(guest.ram.map((ranges) => ranges.map(({ gpa, size }) => [gpa, size]))).toEqual([
      [[HOB_AREA, 0x1000]],
      [[0x2000_0000, 0x2000]],
    ]);
    expect(guest.memoryNeeded).toBe(0x2000_2000);
    expect(guest.hasOwnRegisters).toBe(false);
    expect(guestOf(wrapped({ bootMode: 'flat32' })).hasOwnRegisters).toBe(true);
  });

  it('is written in pieces of 64 KiB, after leading zeros', async () => {
    const sink = memorySink();
    await writeFirmware(guestOf(wrapped({ vars: bytesSource(new Uint8Array(0x4000).fill(9)) })), sink);
    const expected = new Uint8Array(0x20000);
    expected.fill(9, 0xc000, 0x10000);
    expected.set(FIRMWARE, 0x10000);
    expect(Buffer.compare(sink.bytes(), expected)).toBe(0);
  });

  it('has its pages written as in memory, padded', async () => {
    const sink = memorySink();
    const pages = [
      { gpa: 0x1000, size: 0x2000, content: bytesSource(new Uint8Array(0x1800).fill(1)) },
      { gpa: 0x3000, size: 0x1000, content: bytesSource(new Uint8Array(0x10).fill(2)) },
    ];
    await writeRanges(pages, sink, 0x1000);
    const expected = new Uint8Array(0x3000).fill(1, 0, 0x1800).fill(2, 0x2000, 0x2010);
    expect(Buffer.compare(sink.bytes(), expected)).toBe(0);
  });

  it('has the same contents below 1 MiB that QEMU puts there, or is refused', () => {
    const file = wrapped();
    const directives = file.directives.map((each) =>
      each.type === 'pageData' && each.gpa === 0xf0000
        ? { ...each, content: bytesSource(new Uint8Array(0x10000)) }
        : each,
    );
    expect(() => guestOf({ ...file, directives })).toThrow(/has pages where QEMU has video memory.*, at 0xf0000/);
    const content = new Uint8Array(4096).fill(1);
    for (const gpa of [0xa0000, 0xbf000, 0xdf000, 0xe0000]) {
      expect(() => guestOf(withMore(pageData(gpa, 1, content)))).toThrow(/where QEMU has video memory/);
    }
    expect(guestOf(withMore(pageData(0x9f000, 1, content))).ram[0]![0]!.gpa).toBe(0x9f000);
  });

  it.each([
    ['above 4 GiB', withMore(pageData(2 ** 32, 1, new Uint8Array(4096)))],
    ['interrupt controllers', withMore(pageData(2 ** 32 - 0x10000 - 2 ** 24, 4096, new Uint8Array(2 ** 24)))],
    [
      'too many',
      withMore(
        ...Array.from({ length: 70 }, (_, index) => pageData(0x100_0000 + index * 0x2000, 1, new Uint8Array(1))),
      ),
    ],
  ])('is refused with pages that a PC can’t have: %s', (text, file) => {
    expect(() => guestOf(file)).toThrow(
      expect.objectContaining({ code: 'BOOT_LAYOUT', message: expect.stringContaining(text) as string }),
    );
  });
});
