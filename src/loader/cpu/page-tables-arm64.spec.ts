import { buildIdentityMapArm64 } from './page-tables-arm64';

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const GPA = 0x40000000;

const entry = (tables: Uint8Array, table: number, index: number): bigint =>
  new DataView(tables.buffer, tables.byteOffset).getBigUint64(table * 4096 + index * 8, true);

/** Walks the tables as the processor does. */
function translate(tables: Uint8Array, address: number): { physical: number; pageSize: number } | undefined {
  let table = 0;
  for (const [shift, size] of [
    [39n, 2 ** 39],
    [30n, GIB],
    [21n, 2 * MIB],
  ] as const) {
    const value = entry(tables, table, Number((BigInt(address) >> shift) & 511n));
    if ((value & 1n) === 0n) return undefined;
    const target = Number(value & 0x7fff_ffff_f000n);
    if ((value & 2n) === 0n) return { physical: target + (address % size), pageSize: size };
    table = (target - GPA) / 4096;
  }
  return undefined;
}

const build = (start: number, size: number, capacity = 15 * 4096): Uint8Array =>
  buildIdentityMapArm64({ pageTableGpa: GPA, start, size, attributeIndex: 3, capacity });

describe('buildIdentityMapArm64', () => {
  it('maps 2 MiB pages: write-back, inner shareable, accessed, not executable by user mode', () => {
    const tables = build(128 * MIB, 64 * MIB);
    expect(tables).toHaveLength(3 * 4096);
    expect(entry(tables, 0, 0)).toBe(0x40001003n);
    expect(entry(tables, 1, 0)).toBe(0x40002003n);
    expect(entry(tables, 2, 64)).toBe(0x0040_0000_0800_070dn);
    expect(translate(tables, 192 * MIB - 1)).toEqual({ physical: 192 * MIB - 1, pageSize: 2 * MIB });
    expect(translate(tables, 192 * MIB)).toBeUndefined();
    expect(translate(tables, 128 * MIB - 1)).toBeUndefined();
  });

  it('fills the rest of the root with 0xfe, which is not valid, and other tables with zeros', () => {
    const tables = build(128 * MIB, 64 * MIB);
    expect(entry(tables, 0, 1)).toBe(0xfefe_fefe_fefe_fefen);
    expect(translate(tables, 2 ** 39)).toBeUndefined();
    expect(entry(tables, 1, 1)).toBe(0n);
  });

  it('uses 1 GiB pages where they fit', () => {
    const tables = build(GIB - 2 * MIB, 2 * GIB + 4 * MIB);
    expect(translate(tables, GIB - 1)?.pageSize).toBe(2 * MIB);
    expect(translate(tables, GIB)).toEqual({ physical: GIB, pageSize: GIB });
    expect(translate(tables, 3 * GIB)).toEqual({ physical: 3 * GIB, pageSize: 2 * MIB });
    expect(tables).toHaveLength(4 * 4096);
  });

  it('fails for memory beyond the range of the tables', () => {
    expect(build(2 ** 47 - 4 * MIB, 4 * MIB)).toHaveLength(3 * 4096);
    expect(() => build(2 ** 47 - 2 * MIB, 4 * MIB)).toThrow(
      expect.objectContaining({
        code: 'LAYOUT_OUT_OF_RANGE',
        message: expect.stringMatching(/^memory is to be mapped up to 0x800000200000, .* of 47 bits/) as string,
      }),
    );
  });

  it('fails if there is no room for its tables', () => {
    expect(() => build(128 * MIB, 64 * MIB, 2 * 4096)).toThrow(/bug .* more than 2 page tables/);
    expect(build(128 * MIB, 64 * MIB, 3 * 4096)).toHaveLength(3 * 4096);
  });

  it('refuses memory that is not a multiple of 2 MiB', () => {
    expect(() => build(MIB, 2 * MIB)).toThrow(/bug/);
    expect(() => build(0, 3 * MIB)).toThrow(/bug/);
    expect(() => build(0, 0)).toThrow(/bug/);
  });
});
