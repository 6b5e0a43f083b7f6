import { address, bool8, bytes, flags, nested, reserved, type Struct, struct, u16, u32, u64, u8 } from './struct';

const view = (bytesOf: Uint8Array): DataView => new DataView(bytesOf.buffer, bytesOf.byteOffset, bytesOf.length);
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

/** The bytes of a value in the file, surrounded by other bytes. */
function written<T>(of: Struct<T>, value: T): Uint8Array {
  const around = new Uint8Array(of.size + 4).fill(0xaa);
  of.write(view(around), 2, value);
  expect([around[0], around[1], around.at(-2), around.at(-1)]).toEqual([0xaa, 0xaa, 0xaa, 0xaa]);
  return around.slice(2, -2);
}

/** The value of bytes in the file, read at an offset in a view that itself starts at an offset. */
function read<T>(of: Struct<T>, text: string): T {
  const around = Uint8Array.of(0xaa, 0xaa, 0xaa, ...hex(text), 0xaa);
  return of.read(view(around.subarray(1)), 2);
}

const malformed = (message: string) =>
  expect.objectContaining({ code: 'IGVM_MALFORMED', message: expect.stringContaining(message) });
const invalid = (message: string) =>
  expect.objectContaining({ code: 'IGVM_INVALID', message: expect.stringContaining(message) });

describe('a structure', () => {
  const of = struct<{ a: number; b: number; c: bigint }>(u8('a'), reserved(3), u32('b'), u64('c'));

  it('has the total size of its fields, packed in order', () => {
    expect(of.size).toBe(16);
    expect(of.offsets).toEqual({ a: 0, b: 4, c: 8 });
    const inner = struct<{ n: number }>(u16('n'));
    const others = struct<{ gpa: number; on: boolean; x: boolean; y: boolean; id: Uint8Array; of: { n: number } }>(
      bytes('id', 3),
      bool8('on'),
      flags(1, 'x', 'y'),
      address('gpa'),
      nested('of', inner),
    );
    expect(others.offsets).toEqual({ id: 0, on: 3, x: 4, y: 4, gpa: 5, of: 13 });
  });

  it('is read and written at the given offset', () => {
    const value = { a: 0x12, b: 0x89abcdef, c: 0x0123456789abcdefn };
    expect(written(of, value)).toEqual(hex('12 000000 efcdab89 efcdab8967452301'));
    expect(read(of, '12 000000 efcdab89 efcdab8967452301')).toEqual(value);
  });
});

describe('a number', () => {
  it.each([
    [8, struct<{ n: number }>(u8('n')), 'ff', 0xff],
    [16, struct<{ n: number }>(u16('n')), 'fe ff', 0xfffe],
    [32, struct<{ n: number }>(u32('n')), 'fd fe ff ff', 0xfffffefd],
  ])('of %i bits is unsigned and little-endian, and refused if it does not fit', (bits, of, text, n) => {
    expect(of.size).toBe(bits / 8);
    expect(read(of, text)).toEqual({ n });
    expect(written(of, { n })).toEqual(hex(text));
    expect(written(of, { n: 0 })).toEqual(new Uint8Array(bits / 8));
    for (const other of [2 ** bits, -1, 0.5, Number.NaN]) {
      expect(() => written(of, { n: other })).toThrow(invalid(`n ${other} is not an unsigned number of ${bits} bits`));
    }
  });

  it('of 64 bits is a bigint', () => {
    const of = struct<{ n: bigint }>(u64('n'));
    expect(read(of, 'feffffffffffffff')).toEqual({ n: 2n ** 64n - 2n });
    expect(written(of, { n: 2n ** 64n - 2n })).toEqual(hex('feffffffffffffff'));
    for (const n of [2n ** 64n, -1n]) {
      expect(() => written(of, { n })).toThrow(invalid(`n ${n} is not an unsigned number of 64 bits`));
    }
  });
});

describe('an address', () => {
  const of = struct<{ gpa: number }>(address('gpa'));

  it('has 64 bits in the file and at most 53 here', () => {
    expect(of.size).toBe(8);
    expect(read(of, 'ffffffffffff1f00')).toEqual({ gpa: 2 ** 53 - 1 });
    expect(written(of, { gpa: 2 ** 53 - 1 })).toEqual(hex('ffffffffffff1f00'));
    expect(written(of, { gpa: 0x1234_5678_9abc })).toEqual(hex('bc9a785634120000'));
    expect(written(of, { gpa: 0 })).toEqual(hex('0000000000000000'));
  });

  it('is refused from 2^53 on, when read and when written', () => {
    expect(() => read(of, '0000000000002000')).toThrow(malformed('gpa 0x20000000000000 is beyond every address space'));
    for (const gpa of [2 ** 53, -1, 0.5]) {
      expect(() => written(of, { gpa })).toThrow(invalid(`gpa ${gpa} is not an unsigned number of 53 bits`));
    }
  });
});

describe('a boolean', () => {
  const of = struct<{ on: boolean }>(bool8('on'));

  it('is a byte that is 0 or 1', () => {
    expect([read(of, '00'), read(of, '01')]).toEqual([{ on: false }, { on: true }]);
    expect([written(of, { on: false }), written(of, { on: true })]).toEqual([hex('00'), hex('01')]);
    expect(() => read(of, '02')).toThrow(malformed('on is 2, neither 0 nor 1'));
  });
});

describe('flags', () => {
  const of = struct<{ x: boolean; y: boolean }>(flags(2, 'x', 'y'));

  it('are named bits, from bit 0 on', () => {
    expect(of.size).toBe(2);
    expect(read(of, '0100')).toEqual({ x: true, y: false });
    expect(read(of, '0200')).toEqual({ x: false, y: true });
    expect(written(of, { x: true, y: false })).toEqual(hex('0100'));
    expect(written(of, { x: false, y: true })).toEqual(hex('0200'));
    expect(written(of, { x: true, y: true })).toEqual(hex('0300'));
  });

  it('are refused when a bit above them is set', () => {
    expect(read(of, '0300')).toEqual({ x: true, y: true });
    for (const text of ['0400', '0080']) expect(() => read(of, text)).toThrow(malformed('reserved bits of the flags'));
  });
});

describe('bytes', () => {
  const of = struct<{ id: Uint8Array }>(bytes('id', 3));

  it('are copied, so that they outlive the buffer that they were read from', () => {
    const file = hex('010203');
    const { id } = of.read(view(file), 0);
    file.fill(0);
    expect(id).toEqual(hex('010203'));
    expect(read(of, '040506')).toEqual({ id: hex('040506') });
    expect(written(of, { id: hex('070809') })).toEqual(hex('070809'));
  });

  it('are refused if their number is wrong', () => {
    for (const size of [2, 4]) {
      expect(() => written(of, { id: new Uint8Array(size) })).toThrow(invalid(`id has ${size} bytes instead of 3`));
    }
  });
});

describe('a nested structure', () => {
  it('lies within the outer one', () => {
    const inner = struct<{ n: number }>(u16('n'));
    const of = struct<{ first: number; second: { n: number } }>(u8('first'), nested('second', inner));
    expect(of.size).toBe(3);
    expect(read(of, '01 0302')).toEqual({ first: 1, second: { n: 0x203 } });
    expect(written(of, { first: 1, second: { n: 0x203 } })).toEqual(hex('01 0302'));
  });
});

describe('a reserved field', () => {
  const of = struct<object>(reserved(3));

  it('is written as zeros, and refused with any other value', () => {
    expect(written(of, {})).toEqual(hex('000000'));
    expect(read(of, '000000')).toEqual({});
    for (const text of ['010000', '000100', '000001']) {
      expect(() => read(of, text)).toThrow(malformed('a reserved field is not zero'));
    }
  });
});
