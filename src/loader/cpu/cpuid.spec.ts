import { isolationCpuid, PARAVISOR_CPUID_LEAVES, snpCpuidPage, UEFI_CPUID_LEAVES } from './cpuid';

describe('isolationCpuid', () => {
  it('names the isolation type and whether a paravisor runs', () => {
    expect(isolationCpuid({ type: 'none', paravisorPresent: false })).toEqual({ eax: 0, ebx: 0 });
    expect(isolationCpuid({ type: 'vbs', paravisorPresent: true })).toEqual({ eax: 1, ebx: 1 });
  });

  it('returns the shared GPA boundary', () => {
    expect(isolationCpuid({ type: 'snp', paravisorPresent: false, sharedGpaBoundaryBits: 39 })).toEqual({
      eax: 0,
      ebx: 2 | (1 << 5) | (39 << 6),
    });
    expect(isolationCpuid({ type: 'tdx', paravisorPresent: true, sharedGpaBoundaryBits: 47 })).toEqual({
      eax: 1,
      ebx: 3 | (1 << 5) | (47 << 6),
    });
  });
});

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

  it('sets XFEM only for extended state leaves', () => {
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
