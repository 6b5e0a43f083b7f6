import { NativeContext, decodeNativeContext } from './native';
import type { SegmentRegister, VpRegister } from './vp-register';

const data: SegmentRegister = { base: 0n, limit: 0xffffffff, selector: 0x10, attributes: 0xc093 };

function contextOf(...registers: VpRegister[]): Uint8Array {
  const context = new NativeContext();
  for (const register of registers) context.setRegister(register);
  const [part] = context.finish();
  if (part?.kind !== 'directive') throw new Error('no directive');
  return part.directive.data;
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset);

function failure(...registers: VpRegister[]): string {
  try {
    contextOf(...registers);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('no failure');
}

describe('NativeContext', () => {
  it('is one directive with a page for VP 0', () => {
    const [part, ...others] = new NativeContext().finish();
    expect(others).toEqual([]);
    expect(part).toMatchObject({
      kind: 'directive',
      directive: { type: 'vpContext', format: 'native', gpa: 0, vpIndex: 0, compatibilityMask: 1 },
    });
  });

  it('is zero except for RFLAGS if nothing is set', () => {
    const bytes = contextOf();
    expect(bytes).toHaveLength(4096);
    expect(bytes.reduce((sum, byte) => sum + byte, 0)).toBe(2);
    expect(view(bytes).getBigUint64(136, true)).toBe(2n);
  });

  it('has each register at its offset in the format', () => {
    const bytes = view(
      contextOf(
        { name: 'rip', value: 0x0123456789abcdefn },
        { name: 'rsi', value: 0x1000n },
        { name: 'efer', value: 0xd01n },
        { name: 'rflags', value: 0x202n },
        { name: 'gdtr', table: { base: 0x2000n, limit: 0x1f } },
        { name: 'idtr', table: { base: 0x9000n, limit: 0xfff } },
        { name: 'cs', segment: { base: 7n, limit: 0xfffff, selector: 8, attributes: 0xa09b } },
      ),
    );
    expect(bytes.getBigUint64(128, true)).toBe(0x0123456789abcdefn);
    expect(bytes.getBigUint64(48, true)).toBe(0x1000n);
    expect(bytes.getBigUint64(224, true)).toBe(0xd01n);
    expect(bytes.getBigUint64(136, true)).toBe(0x202n);
    expect([bytes.getUint16(158, true), bytes.getBigUint64(160, true)]).toEqual([0x1f, 0x2000n]);
    expect([bytes.getBigUint64(144, true), bytes.getUint16(152, true)]).toEqual([0x9000n, 0xfff]);
    expect([168, 170].map((at) => bytes.getUint16(at, true))).toEqual([8, 0xa09b]);
    expect([172, 176].map((at) => bytes.getUint32(at, true))).toEqual([7, 0xfffff]);
  });

  it('stores equal data segments once, and GS with its own base', () => {
    const bytes = view(
      contextOf(
        { name: 'gs', segment: { ...data, base: 0xffff_8000_0000_0000n } },
        { name: 'ds', segment: { ...data, base: 0x42n } },
        { name: 'es', segment: { ...data, base: 0x42n } },
        { name: 'fs', segment: { ...data, base: 0x42n } },
        { name: 'ss', segment: { ...data, base: 0x42n } },
      ),
    );
    expect([180, 182].map((at) => bytes.getUint16(at, true))).toEqual([0x10, 0xc093]);
    expect([184, 188].map((at) => bytes.getUint32(at, true))).toEqual([0x42, 0xffffffff]);
    expect(bytes.getBigUint64(192, true)).toBe(0xffff_8000_0000_0000n);
  });

  it.each<[string, Partial<SegmentRegister>]>([
    ['selector', { selector: 0x18 }],
    ['attributes', { attributes: 0xc091 }],
    ['limit', { limit: 0xfffff }],
  ])('names a data segment whose %s differs', (_field, difference) => {
    const message = failure({ name: 'ds', segment: data }, { name: 'gs', segment: { ...data, ...difference } });
    expect(message).toMatch(/^bug in nx-igvm: .* gs differs from ds$/);
  });

  it('names a data segment whose base differs', () => {
    const message = failure({ name: 'ds', segment: data }, { name: 'fs', segment: { ...data, base: 1n } });
    expect(message).toMatch(/^bug in nx-igvm: .* fs's differs from ds's$/);
  });

  it('names a segment that does not fit its fields', () => {
    expect(failure({ name: 'cs', segment: { ...data, attributes: 0x0100 } })).toMatch(/cs's attributes 0x100/);
    expect(failure({ name: 'ss', segment: { ...data, base: 1n << 32n } })).toMatch(/ss's base 0x100000000/);
  });

  it.each(['pat', 'mtrrDefType', 'mtrrFix64k00000', 'mtrrPhysBase0', 'pc'] as const)('has no place for %s', (name) => {
    expect(new NativeContext().canHold(name)).toBe(false);
    expect(failure({ name, value: 1n })).toBe(`bug in nx-igvm: a native VP context has no place for ${name}`);
  });

  it('has no place for tr', () => {
    expect(failure({ name: 'tr', segment: data })).toMatch(/no place for tr/);
  });

  it('refuses a register that is set twice, and guest memory', () => {
    const context = new NativeContext();
    context.setRegister({ name: 'rip', value: 1n });
    expect(() => context.setRegister({ name: 'rip', value: 1n })).toThrow(/bug/);
    expect(() => context.setContextPage()).toThrow(/bug/);
  });
});

describe('decodeNativeContext', () => {
  it('reads back what was set', () => {
    const bytes = contextOf(
      { name: 'rip', value: 0x100200n },
      { name: 'r12', value: 2n ** 64n - 1n },
      { name: 'gdtr', table: { base: 0x2000n, limit: 0x1f } },
      { name: 'cs', segment: { base: 0n, limit: 0xffffffff, selector: 8, attributes: 0xa09b } },
      { name: 'gs', segment: { ...data, base: 5n } },
    );
    expect(decodeNativeContext(bytes)).toMatchObject({
      rip: 0x100200n,
      r12: 2n ** 64n - 1n,
      rflags: 2n,
      gdtr: { base: 0x2000n, limit: 0x1f },
      idtr: { base: 0n, limit: 0 },
      code: { base: 0n, limit: 0xffffffff, selector: 8, attributes: 0xa09b },
      data,
      gsBase: 5n,
    });
  });

  it('reads bytes that lie anywhere in a buffer', () => {
    const buffer = new Uint8Array(3 + 4096);
    buffer.set(contextOf({ name: 'cr3', value: 0x3000n }), 3);
    expect(decodeNativeContext(buffer.subarray(3)).cr3).toBe(0x3000n);
  });

  it.each([0, 232, 4095, 4097])('rejects %d bytes', (size) => {
    expect(() => decodeNativeContext(new Uint8Array(size))).toThrow(/has 4096 bytes/);
  });
});
