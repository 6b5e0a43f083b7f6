import {
  currentResources,
  device,
  edgeInterrupt,
  eisaId,
  integer,
  ioPort,
  memory32Fixed,
  methodReturning,
  named,
  packageOf,
  string,
} from './dsdt';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('AML', () => {
  it.each([
    [0, '00'],
    [1, '01'],
    [2, '0a02'],
    [255, '0aff'],
    [256, '0b0001'],
    [65535, '0bffff'],
    [65536, '0c00000100'],
  ])('encodes the integer %i in its shortest form', (value, expected) => {
    expect(hex(integer(value))).toBe(expected);
  });

  it('compresses EISA IDs', () => {
    expect(hex(eisaId('PNP0501'))).toBe('0c41d00501');
    expect(hex(eisaId('PNP0B00'))).toBe('0c41d00b00');
  });

  it('pads names to four characters, and marks names of several segments', () => {
    expect(hex(named('_S0', packageOf(0, 0)))).toBe(`08${hex(Buffer.from('_S0_'))}1204020000`);
    expect(hex(named('\\_SB.UAR1', string('x')))).toBe(`085c2e${hex(Buffer.from('_SB_UAR1'))}0d7800`);
    expect(hex(named('\\_SB.VMOD.VMBS', integer(0)))).toBe(`085c2f03${hex(Buffer.from('_SB_VMODVMBS'))}00`);
  });

  it('includes the bytes of the package length in the length, one byte up to 63', () => {
    const filler = (size: number): Uint8Array => new Uint8Array(size);
    expect(hex(device('A', filler(58)).subarray(0, 4))).toBe('5b823f41');
    expect(hex(device('A', filler(59)).subarray(0, 5))).toBe('5b82410441');
    // With four bytes for the name and two for the length, this is 4095, the most that two bytes hold. Then one more.
    expect(hex(device('A', filler(4089)).subarray(0, 5))).toBe('5b824fff41');
    expect(hex(device('A', filler(4090)).subarray(0, 6))).toBe('5b8281000141');
    expect(hex(device('A', filler(2 ** 20 - 8)).subarray(0, 6))).toBe('5b828fffff41');
    expect(hex(device('A', filler(2 ** 20 - 7)).subarray(0, 7))).toBe('5b82c100000141');
    expect(hex(device('A', filler(4096)).subarray(0, 6))).toBe('5b8287000141');
    expect(hex(device('A', filler(2 ** 20)).subarray(0, 7))).toBe('5b82c800000141');
  });

  it('encodes resources with their end tag', () => {
    expect(hex(currentResources(ioPort(0x3f8, 1, 8), edgeInterrupt(4)))).toBe(
      `08${hex(Buffer.from('_CRS'))}11160a13` + '4701f803f8030108' + '890600030104000000' + '7900',
    );
    expect(hex(memory32Fixed(0xfee00000, 0x1000))).toBe('860900010000e0fe00100000');
  });

  it('encodes a method that returns a value', () => {
    expect(hex(methodReturning('_STA', integer(15)))).toBe(`1409${hex(Buffer.from('_STA'))}00a40a0f`);
  });
});
