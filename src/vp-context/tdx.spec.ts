import { sha256Hex } from '../files/hashes';
import { OPENHCL_REGISTERS, UEFI_REGISTERS } from './boot-registers.fixture';
import { TdxContext } from './tdx';
import type { VpRegister } from './vp-register';

const segment = (name: 'cs' | 'ds' | 'ss' | 'tr', selector: number): VpRegister => ({
  name,
  segment: { base: 0n, limit: 0xffffffff, attributes: 0xc093, selector },
});

const resetPage = (paravisorPresent: boolean, registers: VpRegister[]): Uint8Array => {
  const context = new TdxContext({ paravisorPresent });
  for (const register of registers) context.setRegister(register);
  const [part] = context.finish();
  if (part?.kind !== 'pages') throw new Error('expected a page');
  expect(part).toMatchObject({ pageBase: 0xfffff, pageCount: 1, acceptance: 'exclusive' });
  return part.data;
};

describe('TDX VP context', () => {
  it('is the reset page that igvmfilegen writes for OpenHCL', () => {
    const page = resetPage(true, [
      segment('ds', 0x18),
      segment('ss', 0x18),
      segment('cs', 0x10),
      segment('tr', 0),
      ...OPENHCL_REGISTERS,
    ]);
    expect(sha256Hex(page)).toBe('74e320aa3d9b30dcda85d250f13c65acc0ffdddc4c6995259f648d09ed58ef2c');
  });

  it('accepts low memory for a UEFI without a paravisor', () => {
    const page = resetPage(false, [
      segment('ds', 0x10),
      segment('cs', 0x08),
      ...UEFI_REGISTERS,
      { name: 'rbp', value: 0x6e0000n },
      { name: 'r9', value: 0xbe3n },
    ]);
    expect(sha256Hex(page)).toBe('21e612ea5ef355deb3e9dbab671da1b08b24d2f662e1bbc394c2adba95019e7b');
  });

  it('starts at the reset vector with a jump to its code', () => {
    const page = resetPage(true, []);
    const view = new DataView(page.buffer);
    expect(page[0xff0]).toBe(0xe9);
    expect(0xff5 + view.getInt32(0xff1, true)).toBe(0xa8);
  });

  it.each<[string, VpRegister[]]>([
    ['data segments with different selectors', [segment('ds', 8), segment('ss', 16)]],
    ['a page table above 4 GiB', [{ name: 'cr3', value: 1n << 32n }]],
    ['an EFER without long mode', [{ name: 'efer', value: 0n }]],
    ['a PAT other than the one of a reset', [{ name: 'pat', value: 6n }]],
    ['r12', [{ name: 'r12', value: 1n }]],
    ['rflags', [{ name: 'rflags', value: 2n }]],
    ['an MTRR', [{ name: 'mtrrDefType', value: 0n }]],
  ])('refuses %s', (_, registers) => {
    const context = new TdxContext({ paravisorPresent: true });
    expect(() => registers.forEach((register) => context.setRegister(register))).toThrow(/^bug in nx-igvm/);
  });
});
