import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeNativeContext } from '../vp-context/native';
import { assemble, needingAssembler } from './assemble.fixture';
import { PROBE_CODE } from './kvm-probe';
import { nativeContext } from './native-image.fixture';
import { STUB, STUB_CODE, STUB_LONG_MODE, stubBlock } from './pvh-stub';

const { it: assembled } = needingAssembler('x64');

const source = (name: string): string => readFileSync(join(__dirname, `${name}.S`), 'utf8');

describe('the PVH stub', () => {
  assembled('is what its source assembles to', () => {
    const { code, symbols } = assemble('x64', join(__dirname, 'pvh-stub.S'));
    expect(STUB_CODE.toString('hex')).toBe(code.toString('hex'));
    expect(symbols).toContain(`${STUB_LONG_MODE.toString(16).padStart(16, '0')} T long_mode`);
  });

  it('has its parameters at the offsets in its source', () => {
    const text = source('pvh-stub');
    for (const [name, offset] of Object.entries(STUB)) {
      const [, value] = new RegExp(`\\.set\\s+${name}, (\\w+)`).exec(text) ?? [];
      expect({ name, offset: Number(value) }).toEqual({ name, offset });
    }
  });

  const context = (change: Parameters<typeof nativeContext>[0] = {}) => {
    const directive = nativeContext(change);
    if (directive.type !== 'vpContext') throw new Error('not a context');
    return decodeNativeContext(directive.data);
  };

  it('is given the state of the VP', () => {
    const block = stubBlock(0x300000, context(), [{ source: 0x301000, destination: 0x1000, size: 4096 }], 0x301000);
    const view = new DataView(block.buffer);
    expect(view.getUint32(STUB.CR0, true)).toBe(0x80000001);
    expect(view.getUint32(STUB.CR3, true)).toBe(0x3000);
    // The processor sets LMA.
    expect(view.getUint32(STUB.EFER, true)).toBe(0x901);
    expect(view.getUint32(STUB.FAR_POINTER, true)).toBe(0x300000 + STUB.CODE + STUB_LONG_MODE);
    expect(view.getUint16(STUB.FAR_POINTER + 4, true)).toBe(8);
    expect(view.getUint16(STUB.GDTR, true)).toBe(0x1f);
    expect(view.getBigUint64(STUB.GDTR + 2, true)).toBe(0x2000n);
    expect(view.getBigUint64(STUB.REGISTERS, true)).toBe(2n);
    expect(view.getBigUint64(STUB.RIP, true)).toBe(0x200000n);
    expect(view.getBigUint64(STUB.GDT + 8, true).toString(16)).toBe('af9b000000ffff');
    expect(view.getBigUint64(STUB.GDT + 16, true).toString(16)).toBe('cf93000000ffff');
    expect(view.getUint32(STUB.CODE + 1, true)).toBe(0x300000);
    const table = view.getUint32(STUB.COPY_TABLE, true) - 0x300000;
    expect([0, 4, 8, 12, 16, 20].map((at) => view.getUint32(table + at, true))).toEqual([
      0x301000, 0x1000, 1024, 0, 0, 0,
    ]);
    expect(block.length).toBe(table + 24);
  });

  it.each([
    ['32-bit mode', { efer: 0n }, '64-bit mode'],
    ['no paging', { cr0: 1n }, '64-bit mode'],
    ['5-level paging', { cr4: 0x1020n }, 'CR4'],
    ['process context identifiers', { cr4: 0x20020n }, 'CR4'],
    ['page tables above 4 GiB', { cr3: 1n << 32n }, 'above 4 GiB'],
    ['SVM', { efer: 0x1d01n }, 'EFER'],
  ])('refuses %s', (_, change, text) => {
    expect(() => stubBlock(0x300000, context(change), [], 0)).toThrow(
      expect.objectContaining({ code: 'BOOT_CONTEXT', message: expect.stringContaining(text) as string }),
    );
  });

  it('refuses selectors that do not fit in its GDT', () => {
    const fields = context();
    const code = { ...fields.code, selector: 0x80 };
    expect(() => stubBlock(0x300000, { ...fields, code }, [], 0)).toThrow('selectors');
    expect(() => stubBlock(0x300000, { ...fields, data: fields.code }, [], 0)).toThrow('selectors');
    expect(() => stubBlock(0x300000, { ...fields, data: { ...fields.data, selector: 0 } }, [], 0)).not.toThrow();
  });
});

describe('the KVM probe', () => {
  assembled('is what its source assembles to', () => {
    const { code } = assemble('x64', join(__dirname, 'kvm-probe.S'));
    expect(PROBE_CODE.toString('hex')).toBe(code.toString('hex'));
  });
});
