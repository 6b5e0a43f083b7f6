import { IgvmError } from '../../errors/igvm-error';
import { bytesSource } from '../../memory/byte-source';
import { elfFile, u64, withCountInSection } from '../formats/elf.fixture';
import { type ElfLoadInfo, type ElfPlacement, loadStaticElf } from './elf';
import { bytes, patched } from '../formats/kernel.fixture';
import { LaidOutGuest } from './laid-out-guest.fixture';

const PLACEMENT: ElfPlacement = {
  startAddress: 0,
  loadOffset: 0,
  assumePic: false,
  acceptance: 'exclusive',
  tag: 'kernel',
};

async function load(
  file: Uint8Array,
  placement: Partial<ElfPlacement> = {},
): Promise<{ guest: LaidOutGuest; info: ElfLoadInfo }> {
  let info: ElfLoadInfo | undefined;
  const guest = await LaidOutGuest.of({}, (importer) => {
    info = loadStaticElf(importer, bytesSource(file), { ...PLACEMENT, ...placement });
  });
  return { guest, info: info as ElfLoadInfo };
}

async function failure(file: Uint8Array, placement: Partial<ElfPlacement> = {}): Promise<IgvmError> {
  const error: unknown = await load(file, placement).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof IgvmError)) throw new Error(`no IgvmError but ${String(error)}`);
  return error;
}

const text = bytes(0x2345, 1);
const data = bytes(0x800, 2);
const kernel = elfFile('x64', 0x1000200, [
  { address: 0x1000000, data: text },
  { address: 0x1200000, data, memorySize: 0x3001 },
]);

/** File offsets of the fields of the first program header. */
const PHDR = { type: 64, offset: 72, paddr: 88, filesz: 96, memsz: 104 };

describe('loadStaticElf', () => {
  it('places segments at their physical addresses, with empty pages after the file data', async () => {
    const { guest, info } = await load(kernel);
    expect(info).toEqual({
      minimumAddress: 0x1000000,
      nextAddress: 0x1204000,
      entrypoint: 0x1000200n,
      segments: [
        { start: 0x1000000, end: 0x1003000 },
        { start: 0x1200000, end: 0x1204000 },
      ],
    });
    expect(guest.map).toEqual(['kernel 1000000-1003000', 'kernel 1200000-1204000']);
    expect(guest.page(0x1000000).getUint8(5)).toBe(text[5]);
    expect(guest.page(0x1002000).getUint8(0x344)).toBe(text[0x2344]);
    expect(guest.page(0x1002000).getUint8(0x345)).toBe(0);
    expect(guest.page(0x1200000).getUint8(0x7ff)).toBe(data[0x7ff]);
    expect([0x1201000, 0x1202000, 0x1203000].map((gpa) => guest.isEmpty(gpa))).toEqual([true, true, true]);
  });

  it('makes one run per segment, whatever its size', async () => {
    const { guest } = await load(elfFile('x64', 0x1000000, [{ address: 0x1000000, data: bytes(1 << 20, 3) }]));
    expect(guest.directives('pageData').map(({ pageCount }) => pageCount)).toEqual([256]);
  });

  it('starts the page of an unaligned segment with zeros', async () => {
    const { guest, info } = await load(elfFile('x64', 0x1000123, [{ address: 0x1000123, data: text }]));
    expect(info.segments).toEqual([{ start: 0x1000000, end: 0x1003000 }]);
    const page = guest.page(0x1000000);
    expect([page.getUint8(0), page.getUint8(0x122), page.getUint8(0x123)]).toEqual([0, 0, text[0]]);
    expect(guest.page(0x1001000).getUint8(0)).toBe(text[0x1000 - 0x123]);
  });

  it('loads nothing for a segment without memory size, but counts its address', async () => {
    const { guest, info } = await load(
      elfFile('x64', 0x1000000, [
        { address: 0x1000000, data: text },
        { address: 0x1800000, data: new Uint8Array(0), memorySize: 0 },
      ]),
    );
    expect(guest.map).toEqual(['kernel 1000000-1003000']);
    expect(info.nextAddress).toBe(0x1800000);
  });

  it('loads a segment without file data as empty pages, wherever its file offset points', async () => {
    const { guest } = await load(patched(patched(kernel, PHDR.offset, u64(1n << 60n)), PHDR.filesz, u64(0n)));
    expect(guest.isEmpty(0x1000000)).toBe(true);
    expect(guest.run(0x1000000).pageCount).toBe(3);
  });

  it('ignores program headers of other types', async () => {
    const { guest } = await load(patched(kernel, PHDR.type, [4]));
    expect(guest.map).toEqual(['kernel 1200000-1204000']);
  });

  it('adds the load offset to everything', async () => {
    const { info } = await load(kernel, { loadOffset: 0x400000 });
    expect(info).toMatchObject({ minimumAddress: 0x1400000, nextAddress: 0x1604000, entrypoint: 0x1400200n });
  });

  it('moves position-independent code to the start address, from below and from above', async () => {
    for (const startAddress of [0x800000, 0x8000000]) {
      const { info, guest } = await load(kernel, { startAddress, assumePic: true });
      expect(info).toMatchObject({
        minimumAddress: startAddress,
        nextAddress: startAddress + 0x204000,
        entrypoint: BigInt(startAddress + 0x200),
      });
      expect(guest.gpaOf('kernel')).toBe(startAddress);
    }
  });

  it.each([
    ['no program headers', patched(kernel, 56, [0, 0])],
    ['program headers at 0', patched(kernel, 32, u64(0n))],
    ['no program headers, counted elsewhere', withCountInSection(kernel, 0)],
  ])('loads nothing from a file with %s, and says so', async (_name, file) => {
    const { guest, info } = await load(file, { loadOffset: 0x3000 });
    expect(info).toEqual({ minimumAddress: -1, nextAddress: 0x3000, entrypoint: 0x1003200n, segments: [] });
    expect(guest.map).toEqual([]);
    expect(guest.notes).toEqual(['kernel has no segment to load: none of it is in the image']);
  });

  it('has no load address for position-independent code without segments', async () => {
    const error = await failure(patched(kernel, 56, [0, 0]), { assumePic: true });
    expect([error.code, error.message]).toEqual(['KERNEL_INVALID', expect.stringContaining('no segment to load')]);
  });

  it('reads as many program headers as the first section header counts', async () => {
    const { guest } = await load(withCountInSection(kernel, 1));
    expect(guest.map).toEqual(['kernel 1000000-1003000']);
  });

  it('reads more program headers than the escape value, but loads no more than 65536 segments', async () => {
    const headers = 0x10001;
    const file = new Uint8Array(0x2000 + headers * 56);
    file.set(patched(kernel, 32, u64(0x2000n)).subarray(0, 0x2000));
    const many = withCountInSection(file, headers);
    const view = new DataView(many.buffer);
    for (let index = 0; index < headers; index++) view.setUint32(0x2000 + index * 56, 4, true);
    many.set(kernel.subarray(64 + 56, 64 + 112), 0x2000 + (headers - 1) * 56);
    expect((await load(many)).guest.map).toEqual(['kernel 1200000-1204000']);
    for (let index = 0; index < headers; index++) view.setUint32(0x2000 + index * 56, 1, true);
    expect((await failure(many)).message).toContain('more than 65536 segments');
  });

  it('accepts any entry point above the start address', async () => {
    const { info } = await load(patched(kernel, 24, u64(0xffffffff81000000n)));
    expect(info.entrypoint).toBe(0xffffffff81000000n);
  });

  it('rejects a segment that would be loaded beyond the address space', async () => {
    const error = await failure(patched(kernel, PHDR.paddr, u64(2n ** 52n)));
    expect(error.code).toBe('LAYOUT_OUT_OF_RANGE');
    expect(error.message).toContain("beyond the guest's address space");
  });

  describe('rejects with KERNEL_INVALID', () => {
    it.each([
      [
        'a file offset that no file has',
        patched(patched(kernel, PHDR.offset, u64(2n ** 63n)), PHDR.filesz, u64(0n)),
        'offset',
      ],
      ['a segment cut off', kernel.subarray(0, kernel.length - 1), 'truncated'],
      ['a file offset beyond the file', patched(kernel, PHDR.offset, u64(2n ** 64n - 1n)), 'truncated'],
      ['more file data than memory', patched(kernel, PHDR.memsz, u64(0x2344n)), '9029 bytes in the file for 9028'],
      ['a giant file size', patched(kernel, PHDR.filesz, u64(2n ** 64n - 1n)), 'bytes in the file for'],
      ['a giant memory size', patched(kernel, PHDR.memsz, u64(2n ** 64n - 1n)), 'beyond the address space'],
      [
        'more zeros than any kernel needs',
        patched(kernel, PHDR.memsz, u64(2n ** 32n + 0x2346n)),
        'at most 4 GiB is allowed',
      ],
      ['a giant address', patched(kernel, PHDR.paddr, u64(2n ** 64n - 0x1000n)), 'beyond the address space'],
    ])('%s', async (_name, file, message) => {
      const error = await failure(file);
      expect(error.code).toBe('KERNEL_INVALID');
      expect(error.message).toContain(message);
    });

    it('an entry point below the start address, or that overflows', async () => {
      const low = await failure(patched(kernel, 24, u64(0x1000n)), { startAddress: 0x100000 });
      expect(low.message).toContain('entry point at 0x1000,');
      const high = await failure(patched(kernel, 24, u64(2n ** 64n - 1n)), { loadOffset: 0x1000 });
      expect(high.message).toContain('beyond 2^64');
    });

    it('a segment below the start address', async () => {
      const error = await failure(patched(kernel, PHDR.paddr, u64(0xff000n)), { startAddress: 0x100000 });
      expect(error.message).toContain('segment below the lowest address');
    });

    it('position-independent code that starts below its first segment', async () => {
      const error = await failure(patched(kernel, 24, u64(0x300000n)), { startAddress: 0x200000, assumePic: true });
      expect(error.message).toContain('below its first segment');
    });
  });

  it.each([
    ['overlap', 0x1001000],
    ['share a page', 0x1002800],
  ])('rejects segments that %s', async (_name, address) => {
    const file = elfFile('x64', 0x1000000, [
      { address: 0x1000000, data: text },
      { address, data },
    ]);
    const error = await failure(file);
    expect(error.code).toBe('LAYOUT_OVERLAP');
    expect(error.message).toMatch(/^kernel at .* overlaps kernel at 0x1000000-0x1003000$/);
  });

  it('loads aarch64 files only for aarch64 guests', async () => {
    const file = elfFile('aarch64', 0x1000000, [{ address: 0x1000000, data: text }]);
    expect((await failure(file)).message).toContain('ELF machine 183');
    await expect(
      LaidOutGuest.of({ arch: 'aarch64' }, (importer) => loadStaticElf(importer, bytesSource(file), PLACEMENT)),
    ).resolves.toBeDefined();
  });
});
