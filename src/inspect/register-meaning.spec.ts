import { registerAddress, registerMeaning } from './register-meaning';

describe('the meaning of a register', () => {
  it.each([
    [{ name: 'cr0', value: 0x80000031n }, 'PE, ET, NE, PG'],
    [{ name: 'cr4', value: 0x20n }, 'PAE'],
    [{ name: 'efer', value: 0x1d01n }, 'SCE, LME, LMA, NXE, SVME'],
    [{ name: 'pat', value: 0x0007040600070406n }, 'WB WT UC- UC WB WT UC- UC'],
    [{ name: 'cs', base: 0n, limit: 0xffffffff, selector: 8, attributes: 0xa09b }, '64-bit code, ring 0, present'],
    [{ name: 'ds', base: 0n, limit: 0xffffffff, selector: 16, attributes: 0xc093 }, '32-bit data, ring 0, present'],
    [{ name: 'gdtr', base: 0x2000n, limit: 0x1f }, '4 entries'],
    [{ name: 'idtr', base: 0n, limit: 0xfff }, ''],
    [{ name: 'tr', base: 0n, limit: 0xffff, selector: 0, attributes: 0 }, ''],
    [{ name: 'sevFeatures', value: 1n, meaning: ['snp', 'debugSwap'] }, 'snp, debugSwap'],
    [{ name: 'r8', value: 5n }, ''],
  ])('%j is %s', (register, meaning) => {
    expect(registerMeaning(register)).toBe(meaning);
  });
});

describe('the address in a register', () => {
  it('is that of CR3 without its flags and an SNP guest’s C-bit', () => {
    expect(registerAddress({ name: 'cr3', value: 0x8000000004018n })).toBe(0x4000);
  });

  it('is taken only from registers that point to memory', () => {
    expect(registerAddress({ name: 'rip', value: 0x1000000n })).toBe(0x1000000);
    expect(registerAddress({ name: 'gdtr', base: 0x2000n, limit: 0x1f })).toBe(0x2000);
    expect(registerAddress({ name: 'rsi', value: 0x2000n })).toBeUndefined();
    expect(registerAddress({ name: 'rip', value: 2n ** 63n })).toBeUndefined();
  });
});
