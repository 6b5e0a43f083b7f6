import { decodeNativeContext } from '../../vp-context/native';
import { importGdt, buildIdentityMap, buildPageTablesX64, gibTableCount, type MappedRange } from './tables-x64';
import { LaidOutGuest, hex } from '../guest/laid-out-guest.fixture';

describe('importGdt', () => {
  it('imports null, code, data, null, and points the registers there', async () => {
    const guest = await LaidOutGuest.of({ native: true }, (importer) => importGdt(importer, 2));
    expect(guest.map).toEqual(['default-gdt 2000-3000']);
    const page = guest.page(0x2000);
    expect([0, 8, 16, 24].map((at) => hex(page, at, 8))).toEqual([
      '0000000000000000',
      'ffff0000009ba000',
      'ffff00000093c000',
      '0000000000000000',
    ]);
    const [context] = guest.directives('vpContext');
    expect(context && decodeNativeContext(context.data)).toMatchObject({
      gdtr: { base: 0x2000n, limit: 0x1f },
      code: { selector: 8, attributes: 0xa09b, base: 0n, limit: 0xffffffff },
      data: { selector: 0x10, attributes: 0xc093, base: 0n, limit: 0xffffffff },
      gsBase: 0n,
    });
  });
});

const GIB = 2 ** 30;
const MIB = 2 ** 20;

const entry = (tables: Uint8Array, table: number, index: number): bigint =>
  new DataView(tables.buffer, tables.byteOffset).getBigUint64(table * 4096 + index * 8, true);

const range = (start: number, end: number, what = 'some memory'): MappedRange => ({ what, start, end });

/** Walks the tables as the processor does: the physical address and the size of the page, undefined when not mapped. */
function translate(
  tables: Uint8Array,
  gpa: number,
  address: number,
  confidential = 0n,
): { physical: number; pageSize: number } | undefined {
  let table = 0;
  for (const [shift, size] of [
    [39n, 2 ** 39],
    [30n, GIB],
    [21n, 2 * MIB],
    [12n, 4096],
  ] as const) {
    const value = entry(tables, table, Number((BigInt(address) >> shift) & 511n));
    if ((value & 1n) === 0n) return undefined;
    expect(value & confidential).toBe(confidential);
    const target = Number(value & 0x000f_ffff_ffff_f000n & ~confidential);
    if (shift === 12n || (value & 0x80n) !== 0n) return { physical: target + (address % size), pageSize: size };
    table = (target - gpa) / 4096;
  }
  return undefined;
}

describe('buildIdentityMap', () => {
  it('maps the first 4 GiB in 2 MiB pages', () => {
    const tables = buildIdentityMap({ pageTableGpa: 0x3000 });
    expect(tables).toHaveLength(6 * 4096);
    for (const address of [0, 4095, 2 * MIB, GIB - 1, GIB, 3 * GIB + 5, 4 * GIB - 1]) {
      expect(translate(tables, 0x3000, address)).toEqual({ physical: address, pageSize: 2 * MIB });
    }
    expect(translate(tables, 0x3000, 4 * GIB)).toBeUndefined();
    expect(translate(tables, 0x3000, 2 ** 39)).toBeUndefined();
  });

  it('marks tables present, writable and accessed, and pages dirty and large as well', () => {
    const tables = buildIdentityMap({ pageTableGpa: 0x3000 });
    expect(entry(tables, 0, 0)).toBe(0x4023n);
    expect(entry(tables, 1, 3)).toBe(0x8023n);
    expect(entry(tables, 2, 0)).toBe(0xe3n);
    expect(entry(tables, 5, 511)).toBe(0xffe000e3n);
  });

  it('maps 8 GiB', () => {
    const tables = buildIdentityMap({ pageTableGpa: 0x3000, gib: 8 });
    expect(tables).toHaveLength(10 * 4096);
    expect(translate(tables, 0x3000, 8 * GIB - 1)?.physical).toBe(8 * GIB - 1);
  });

  it('sets the confidential bit in every entry', () => {
    const tables = buildIdentityMap({ pageTableGpa: 0x3000, confidentialBit: 51 });
    expect(translate(tables, 0x3000, 3 * GIB, 1n << 51n)?.physical).toBe(3 * GIB);
    expect(entry(tables, 0, 0)).toBe(0x4023n | (1n << 51n));
  });

  it('leaves out the root when biased, and links biased tables into another root', () => {
    const boundary = 1n << 46n;
    const shared = buildIdentityMap({ pageTableGpa: 0x10000, addressBias: boundary });
    expect(shared).toHaveLength(5 * 4096);
    expect(entry(shared, 0, 0)).toBe(0x11023n);
    expect(entry(shared, 1, 1)).toBe(boundary | 0x200000n | 0xe3n);
    const tables = buildIdentityMap({ pageTableGpa: 0x3000, pml4Link: { tableGpa: 0x10000, address: boundary } });
    expect(entry(tables, 0, 128)).toBe(0x10023n);
  });
});

describe('buildPageTablesX64', () => {
  it('maps with the largest pages that fit', () => {
    const start = GIB - 2 * MIB - 4096;
    const tables = buildPageTablesX64({ pageTableGpa: 0x5000, ranges: [range(start, 2 * GIB + 4096)] });
    expect(translate(tables, 0x5000, start)).toEqual({ physical: start, pageSize: 4096 });
    expect(translate(tables, 0x5000, GIB - 1)).toEqual({ physical: GIB - 1, pageSize: 2 * MIB });
    expect(translate(tables, 0x5000, GIB)).toEqual({ physical: GIB, pageSize: GIB });
    expect(translate(tables, 0x5000, 2 * GIB)).toEqual({ physical: 2 * GIB, pageSize: 4096 });
    expect(translate(tables, 0x5000, start - 1)).toBeUndefined();
    expect(translate(tables, 0x5000, 2 * GIB + 4096)).toBeUndefined();
    // The root and the table below it, then tables of 2 MiB and 4 KiB pages at both ends.
    expect(tables).toHaveLength(6 * 4096);
  });

  it('shares tables between ranges, in the order of first use', () => {
    const tables = buildPageTablesX64({
      pageTableGpa: 0x5000,
      ranges: [range(2 * MIB, 4 * MIB), range(128 * MIB, 130 * MIB), range(4 * GIB - 4096, 4 * GIB)],
      confidentialBit: 51,
    });
    const bit = 1n << 51n;
    expect([entry(tables, 0, 0), entry(tables, 1, 0), entry(tables, 1, 3), entry(tables, 3, 511)]).toEqual(
      [0x6023n, 0x7023n, 0x8023n, 0x9023n].map((value) => value | bit),
    );
    expect(entry(tables, 4, 511)).toBe(0xfffff063n | bit);
    expect(translate(tables, 0x5000, 129 * MIB, bit)?.pageSize).toBe(2 * MIB);
    expect(tables).toHaveLength(5 * 4096);
  });

  it('maps more than 512 GiB in 1 GiB pages, the largest size', () => {
    const tables = buildPageTablesX64({ pageTableGpa: 0x5000, ranges: [range(0, 2 ** 39)] });
    expect(translate(tables, 0x5000, 2 ** 39 - 1)).toEqual({ physical: 2 ** 39 - 1, pageSize: GIB });
  });

  it('fails if it needs more tables than allowed', () => {
    const ranges = Array.from({ length: 19 }, (_, gib) => range(gib * GIB, gib * GIB + 2 * MIB));
    expect(() => buildPageTablesX64({ pageTableGpa: 0, ranges })).toThrow(/bug .* more than 20 page tables/);
    expect(buildPageTablesX64({ pageTableGpa: 0, ranges: ranges.slice(1) })).toHaveLength(20 * 4096);
  });

  it('fails for overlapping ranges, and names both', () => {
    const ranges = [range(0, 4 * MIB, 'the kernel'), range(2 * MIB, 6 * MIB, 'its window')];
    expect(() => buildPageTablesX64({ pageTableGpa: 0, ranges })).toThrow(
      expect.objectContaining({
        code: 'LAYOUT_OVERLAP',
        message: 'the kernel at 0x0-0x400000 overlaps its window at 0x200000-0x600000',
        where: { gpa: { start: 2 * MIB, end: 4 * MIB } },
      }),
    );
  });

  it('fails for tables at addresses that include the confidential bit', () => {
    const build = (pageTableGpa: number): Uint8Array =>
      buildPageTablesX64({ pageTableGpa, ranges: [range(0, 2 * MIB)], confidentialBit: 51 });
    expect(build(2 ** 51 - 3 * 4096)).toHaveLength(3 * 4096);
    for (const gpa of [2 ** 51 - 2 * 4096, 2 ** 51]) {
      expect(() => build(gpa)).toThrow(
        expect.objectContaining({
          code: 'LAYOUT_OUT_OF_RANGE',
          message: expect.stringContaining('an address with bit 51, which marks private memory') as string,
        }),
      );
    }
  });

  it.each([
    ['a large page', range(2 ** 48 + 2 * MIB, 2 ** 48 + 4 * MIB)],
    ['small pages in place of a large one', range(2 ** 48 + 2 * MIB, 2 ** 48 + 2 * MIB + 4096)],
    ['a larger page', range(2 ** 48, 2 ** 48 + GIB)],
  ])('fails for %s that a range 2^48 bytes away already uses', (_, second) => {
    const ranges = [range(2 * MIB, 4 * MIB), second];
    expect(() => buildPageTablesX64({ pageTableGpa: 0x5000, ranges })).toThrow(/only 2\^48 bytes/);
  });
});

describe('gibTableCount', () => {
  it.each([
    [0, 512, 1],
    [GIB - 512, 512, 1],
    [GIB - 512, 1024, 2],
    [0, GIB, 1],
    [0, GIB + 1, 2],
    [512, 2 * GIB, 3],
    [GIB / 2, GIB, 2],
    [GIB, 3 * GIB, 3],
    [GIB, 0, 1],
  ])('of %d with %d bytes is %d', (start, size, count) => {
    expect(gibTableCount(start, size)).toBe(count);
  });
});
