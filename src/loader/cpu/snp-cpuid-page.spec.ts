import { PARAVISOR_CPUID_LEAVES, snpCpuidPage, UEFI_CPUID_LEAVES } from './cpuid';

describe('snpCpuidPage', () => {
  it.each([
    ['UEFI', UEFI_CPUID_LEAVES, 20],
    ['a paravisor', PARAVISOR_CPUID_LEAVES, 35],
  ])('lists the leaves for %s, the SEV leaf first', (_, leaves, count) => {
    const page = new DataView(snpCpuidPage(leaves, 0).buffer);
    expect(page.byteLength).toBe(16 + 64 * 48);
    expect(page.getUint32(0, true)).toBe(count);
    expect(page.getUint32(16, true)).toBe(0x8000001f);
    expect(page.getUint32(16 + (count - 1) * 48, true)).toBe(leaves.at(-1)?.[0]);
    expect(page.getUint32(16 + count * 48, true)).toBe(0);
  });

  it('sets XFEM for extended state leaves only', () => {
    const page = new DataView(
      snpCpuidPage(
        [
          [1, 0],
          [0xd, 3],
        ],
        1,
      ).buffer,
    );
    expect(page.getBigUint64(16 + 8, true)).toBe(0n);
    expect(page.getUint32(16 + 48 + 4, true)).toBe(3);
    expect(page.getBigUint64(16 + 48 + 8, true)).toBe(1n);
  });
});
