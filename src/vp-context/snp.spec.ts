import { sha256Hex } from '../files/hashes';
import { OPENHCL_REGISTERS, UEFI_REGISTERS } from './boot-registers.fixture';
import { SnpContext, type SnpContextOptions } from './snp';
import { decodeVmsa } from './vmsa';
import type { VpContextPart, VpRegister } from './vp-register';

const DATA = { base: 0n, limit: 0xffffffff, attributes: 0xc093 };
const dataSegments = (selector: number): VpRegister[] =>
  (['ds', 'es', 'fs', 'gs', 'ss'] as const).map((name) => ({ name, segment: { ...DATA, selector } }));
const code = (selector: number): VpRegister => ({
  name: 'cs',
  segment: { base: 0n, limit: 0xffffffff, attributes: 0xa09b, selector },
});

const OPENHCL: SnpContextOptions = {
  paravisorPresent: true,
  sharedGpaBoundary: 1n << 46n,
  injectionType: 'normal',
  secureAvic: 'enabled',
};
const UEFI: SnpContextOptions = {
  paravisorPresent: false,
  sharedGpaBoundary: 1n << 39n,
  injectionType: 'restricted',
  secureAvic: 'enabled',
};

const pages = (parts: VpContextPart[]): Extract<VpContextPart, { kind: 'pages' }>[] =>
  parts.map((part) => {
    if (part.kind !== 'pages') throw new Error('expected pages');
    return part;
  });

const finished = (context: SnpContext, registers: VpRegister[], page = 0x1000) => {
  for (const register of registers) context.setRegister(register);
  context.setContextPage(page);
  return pages(context.finish());
};

describe('SNP VP context', () => {
  it('is the VMSA that igvmfilegen writes for OpenHCL', () => {
    const parts = finished(SnpContext.create(OPENHCL), [
      ...dataSegments(0x18),
      code(0x10),
      { name: 'tr', segment: { base: 0n, limit: 0xffff, selector: 0, attributes: 0x8b } },
      ...OPENHCL_REGISTERS,
    ]);
    expect(parts.map(({ pageBase, acceptance }) => [pageBase, acceptance])).toEqual([[0x1000, 'vpContext']]);
    expect(sha256Hex(parts[0]!.data)).toBe('5ac5caba34ae79418e3af5ed8d4a0194f691dce6c76cde28c7aafd08bab5fba5');
  });

  it('starts an enlightened UEFI through a stub that accepts low memory', () => {
    const parts = finished(SnpContext.create(UEFI), [
      ...dataSegments(0x10),
      code(0x08),
      ...UEFI_REGISTERS,
      { name: 'efer', value: 0xd00n },
      { name: 'pat', value: 0x0007040600070406n },
      { name: 'rbp', value: 0x6e0000n },
      { name: 'r9', value: 0x9e2n },
      { name: 'r12', value: 0x709000n },
    ]);
    expect(parts.map(({ pageBase, acceptance }) => [pageBase, acceptance])).toEqual([
      [0, 'exclusive'],
      [0x1000, 'vpContext'],
    ]);
    expect(sha256Hex(parts[0]!.data)).toBe('c993152120c7141876558a6c41c08d9faaaf5d354b4f0207e111a743ead36a83');
    expect(sha256Hex(parts[1]!.data)).toBe('c8b50349e9c9828d45aaf05e0c30411700f6c50f249bd5571e76f2d8ab18c9dd');
  });

  it('starts Linux directly in the reset state, with the C-bit in CR3', () => {
    const context = SnpContext.createLinuxDirect({ cBitMask: 1n << 51n, injectionType: 'normal' });
    const parts = finished(context, [
      ...dataSegments(0x10),
      code(0x08),
      { name: 'gdtr', table: { base: 0x1000n, limit: 0x1f } },
      { name: 'cr0', value: 0x80000001n },
      { name: 'cr3', value: 0x4000n },
      { name: 'cr4', value: 0x20n },
      { name: 'efer', value: 0xd01n },
      { name: 'pat', value: 0x0007040600070406n },
      { name: 'rip', value: 0x1000000n },
      { name: 'rsi', value: 0x2000n },
    ]);
    expect(sha256Hex(parts[0]!.data)).toBe('b08bc531254a08e9f68b09906648543a831e04c1c43e99968b8fe8873ec6684f');
  });

  it('has the SEV features that the isolation options ask for', () => {
    const features = (options: SnpContextOptions): string[] =>
      decodeVmsa(finished(SnpContext.create(options), []).at(-1)!.data).sevFeatures;
    const hardening = ['debugSwap', 'preventHostIbs', 'btbIsolation', 'vmsaRegisterProtection'];
    expect(features(OPENHCL)).toEqual(['snp', ...hardening, 'secureAvic', 'ibpbOnEntry']);
    expect(features({ ...OPENHCL, injectionType: 'restricted', secureAvic: 'disabled' })).toEqual([
      'snp',
      'restrictInjection',
      ...hardening,
      'ibpbOnEntry',
    ]);
    expect(features(UEFI)).toEqual(['snp', 'vtom', 'restrictInjection', 'debugSwap']);
  });

  it('refuses an enlightened UEFI with normal injection, on which igvmfilegen aborts', () => {
    expect(() => SnpContext.create({ ...UEFI, injectionType: 'normal' })).toThrow(
      expect.objectContaining({ code: 'ISOLATION_UNSUPPORTED' }),
    );
  });

  it('names a register that it has no place for', () => {
    const context = SnpContext.create(OPENHCL);
    for (const name of ['rsp', 'rflags', 'mtrrDefType', 'x0'] as const) {
      expect(context.canHold(name)).toBe(false);
      expect(() => context.setRegister({ name, value: 1n })).toThrow(
        `bug in nx-igvm: an SNP VP context has no place for ${name}`,
      );
    }
    expect(context.canHold('idtr')).toBe(false);
    expect(SnpContext.createLinuxDirect({ cBitMask: 0n, injectionType: 'normal' }).canHold('idtr')).toBe(true);
  });

  it('is empty when no page was set for it', () => {
    expect(SnpContext.create(UEFI).finish()).toEqual([]);
  });

  it('refuses a directly booted kernel without an entry point', () => {
    const context = SnpContext.createLinuxDirect({ cBitMask: 1n << 51n, injectionType: 'normal' });
    expect(() => finished(context, [])).toThrow(expect.objectContaining({ code: 'KERNEL_INVALID' }));
  });
});

describe('decodeVmsa', () => {
  it('shows what was set, in the order of the save area', () => {
    const [part] = finished(SnpContext.create(OPENHCL), [code(0x10), { name: 'rip', value: 0x1234n }]);
    const decoded = decodeVmsa(part!.data);
    expect(decoded.selectors).toEqual([
      { name: 'cs', base: 0n, limit: 0xffffffff, selector: 0x10, attributes: 0xa09b },
    ]);
    expect(decoded.fields.map(({ name }) => name)).toEqual(['efer', 'rip', 'sevFeatures', 'xcr0']);
  });

  it('accepts a truncated save area', () => {
    expect(decodeVmsa(new Uint8Array(3))).toEqual({ selectors: [], fields: [], sevFeatures: [] });
  });
});
