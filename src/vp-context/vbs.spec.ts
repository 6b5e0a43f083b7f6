import { IgvmError } from '../errors/igvm-error';
import { VbsContext, decodeVbsContext } from './vbs';
import type { VpRegister } from './vp-register';

const registers: VpRegister[] = [
  { name: 'gdtr', table: { base: 0x2000n, limit: 0x1f } },
  { name: 'cs', segment: { base: 1n, limit: 0xffffffff, selector: 8, attributes: 0xa09b } },
  { name: 'rip', value: 0x1000000n },
  { name: 'mtrrDefType', value: 0xc00n },
];

function contextOf(list: VpRegister[], vtl = 0): Uint8Array {
  const context = new VbsContext('x64', vtl);
  for (const register of list) context.setRegister(register);
  return context.serialize();
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('VbsContext', () => {
  it('is a count and Hyper-V registers of 32 bytes, in the order in which they were set', () => {
    const bytes = contextOf(registers, 2);
    expect(bytes).toHaveLength(4 + 4 * 32);
    expect(hex(bytes.subarray(0, 4))).toBe('04000000');
    expect(hex(bytes.subarray(4, 36))).toBe(`0201000700${'00'.repeat(11)}0000000000001f000020000000000000`);
    expect(hex(bytes.subarray(36, 68))).toBe(`0201000600${'00'.repeat(11)}0100000000000000ffffffff08009ba0`);
    expect(hex(bytes.subarray(68, 100))).toBe(`0210000200${'00'.repeat(11)}0000000100000000${'00'.repeat(8)}`);
    expect(hex(bytes.subarray(100, 132))).toBe(`020e000800${'00'.repeat(11)}000c000000000000${'00'.repeat(8)}`);
  });

  it('is one directive for VP 0, or none without registers', () => {
    const context = new VbsContext('x64', 0);
    expect(context.finish()).toEqual([]);
    expect(context.serialize()).toHaveLength(0);
    context.setRegister({ name: 'rip', value: 1n });
    expect(context.finish()).toEqual([
      {
        kind: 'directive',
        directive: {
          type: 'vpContext',
          format: 'vbs',
          gpa: 0,
          vpIndex: 0,
          compatibilityMask: 1,
          data: context.serialize(),
        },
      },
    ]);
  });

  it('accepts only registers of its architecture', () => {
    expect(new VbsContext('x64', 0).canHold('pat')).toBe(true);
    expect(new VbsContext('x64', 0).canHold('x0')).toBe(false);
    expect(new VbsContext('aarch64', 0).canHold('x7')).toBe(true);
    const setPc = (): void => new VbsContext('x64', 0).setRegister({ name: 'pc', value: 0n });
    expect(setPc).toThrow('bug in nx-igvm: a VBS VP context for x64 has no place for pc');
  });

  it('refuses a register that is set twice, and guest memory', () => {
    const context = new VbsContext('x64', 0);
    context.setRegister({ name: 'rip', value: 1n });
    expect(() => context.setRegister({ name: 'rip', value: 1n })).toThrow(/bug/);
    expect(() => context.setContextPage()).toThrow(/bug/);
  });
});

describe('decodeVbsContext', () => {
  const code = (bytes: Uint8Array): string | undefined => {
    try {
      decodeVbsContext(bytes, 'x64');
    } catch (error) {
      return error instanceof IgvmError ? error.code : String(error);
    }
    return undefined;
  };

  it('reads back what was set, also from the start of a page', () => {
    expect(decodeVbsContext(contextOf(registers, 2), 'x64')).toEqual({ vtl: 2, registers });
    const page = new Uint8Array(4096);
    page.set(contextOf(registers));
    expect(decodeVbsContext(page, 'x64')).toEqual({ vtl: 0, registers });
  });

  it('reads aarch64 registers by their own names', () => {
    const context = new VbsContext('aarch64', 0);
    context.setRegister({ name: 'x0', value: 5n });
    expect(decodeVbsContext(context.serialize(), 'aarch64').registers).toEqual([{ name: 'x0', value: 5n }]);
    expect(code(context.serialize())).toBe('IGVM_UNSUPPORTED');
  });

  it('rejects contexts that are cut off, empty or mixed', () => {
    const bytes = contextOf(registers);
    for (const size of [0, 3, 4, 35, 131]) expect(code(bytes.subarray(0, size))).toBe('IGVM_MALFORMED');
    expect(code(new Uint8Array(4096))).toBe('IGVM_MALFORMED');
    const giant = Uint8Array.from(bytes);
    giant.fill(0xff, 0, 4);
    expect(code(giant)).toBe('IGVM_MALFORMED');
    const mixed = Uint8Array.from(bytes);
    mixed[36] = 1;
    expect(code(mixed)).toBe('IGVM_MALFORMED');
  });
});
