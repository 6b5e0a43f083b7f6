import { StructWriter } from './struct-writer';

describe('StructWriter', () => {
  it('writes fields little-endian, one after the other', () => {
    const bytes = new StructWriter().u8(1).u16(0x0203).u32(0x04050607).u64(0x08090a0b0c0d0e0fn).ascii('AB').finish();
    expect(Buffer.from(bytes).toString('hex')).toBe('01030207060504' + '0f0e0d0c0b0a0908' + '4142');
  });

  it('writes negative numbers in two’s complement', () => {
    expect(Buffer.from(new StructWriter().u64(-2).finish()).toString('hex')).toBe('feffffffffffffff');
  });

  it('refuses a number that does not fit its field', () => {
    expect(
      new StructWriter()
        .u8(255)
        .u16(65535)
        .u32(2 ** 32 - 1).length,
    ).toBe(7);
    expect(() => new StructWriter().u8(256)).toThrow('bug in nx-igvm: 256 in a field of 1 bytes');
    expect(() => new StructWriter().u16(65536)).toThrow(/bug/);
    expect(() => new StructWriter().u32(2 ** 32)).toThrow(/bug/);
    expect(() => new StructWriter().u8(-1)).toThrow(/bug/);
    expect(() => new StructWriter().u32(0.5)).toThrow(/bug/);
  });

  it('keeps every byte when a single one makes it grow', () => {
    const writer = new StructWriter();
    for (let index = 0; index < 1000; index++) writer.u8(index & 0xff);
    expect(writer.finish()).toEqual(Uint8Array.from({ length: 1000 }, (_, index) => index & 0xff));
  });

  it('grows beyond its first buffer and keeps what was written', () => {
    const writer = new StructWriter().u8(7).zeros(5000).u8(8);
    const bytes = writer.finish();
    expect(writer.length).toBe(5002);
    expect([bytes[0], bytes[5000], bytes[5001]]).toEqual([7, 0, 8]);
  });
});
