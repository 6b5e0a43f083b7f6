import type { GuestArch, VpContextDirective, VpContextFormat } from '../igvm/model';
import { fieldsText } from '../igvm/dump';
import { describeVpContext } from './decode';
import { NativeContext } from './native';
import { SnpContext } from './snp';
import { VbsContext } from './vbs';
import type { VpContextBuilder } from './vp-register';

const describeBytes = (format: VpContextFormat, data: Uint8Array, arch: GuestArch = 'x64') =>
  describeVpContext({ type: 'vpContext', format, gpa: 0, compatibilityMask: 1, vpIndex: 0, data }, arch);

function dataOf(context: VpContextBuilder): Uint8Array {
  const part = context.finish().at(-1);
  if (part === undefined) throw new Error('no context');
  return part.kind === 'pages' ? part.data : (part.directive satisfies VpContextDirective).data;
}

function native(): Uint8Array {
  const context = new NativeContext();
  context.setRegister({ name: 'rip', value: 0x100000n });
  context.setRegister({ name: 'gdtr', table: { base: 0x2000n, limit: 0x1f } });
  return dataOf(context);
}

function vbs(): Uint8Array {
  const context = new VbsContext('x64', 2);
  context.setRegister({ name: 'rip', value: 0x100000n });
  context.setRegister({ name: 'gdtr', table: { base: 0x2000n, limit: 0x1f } });
  context.setRegister({ name: 'cs', segment: { base: 0n, limit: 0xffff, selector: 8, attributes: 0xa09b } });
  return dataOf(context);
}

function snp(): Uint8Array {
  const context = SnpContext.createLinuxDirect({ cBitMask: 1n << 51n, injectionType: 'normal' });
  context.setRegister({ name: 'rip', value: 0x100000n });
  context.setContextPage(1);
  return dataOf(context);
}

const CONTEXTS = { native: native(), vbs: vbs(), snp: snp(), cca: new Uint8Array(4096), tdx: new Uint8Array(4096) };

const text = (...[format, data, arch]: Parameters<typeof describeBytes>): string =>
  fieldsText({ registers: describeBytes(format, data, arch) });

describe('describeVpContext', () => {
  it.each(Object.entries(CONTEXTS) as [VpContextFormat, Uint8Array][])(
    'describes each %s context that differs in a byte differently',
    (format, data) => {
      const same = text(format, data);
      for (let at = 0; at < data.length; at++) {
        for (const bit of [0, 7]) {
          const changed = Uint8Array.from(data);
          changed[at] = (changed[at] ?? 0) ^ (1 << bit);
          if (text(format, changed) === same) throw new Error(`bit ${bit} of byte ${at} is not described`);
        }
      }
    },
  );

  it('shows bytes that belong to no register if they are not zero, and joins close ones', () => {
    const page = snp();
    expect(
      describeBytes('snp', page).filter(({ name }) => typeof name === 'string' && name.startsWith('bytes')),
    ).toEqual([]);
    page.set([1, 2], 0x430);
    page[0x440] = 3;
    page[0x500] = 4;
    page[0xfff] = 5;
    const value = new Uint8Array(17);
    value.set([1, 2]);
    value[16] = 3;
    expect(describeBytes('snp', page).slice(-3)).toEqual([
      { name: 'bytes 0x430-0x441', value },
      { name: 'bytes 0x500-0x501', value: Uint8Array.of(4) },
      { name: 'bytes 0xfff-0x1000', value: Uint8Array.of(5) },
    ]);
  });

  it('shows the bytes of a context that it cannot decode', () => {
    expect(describeBytes('vbs', vbs(), 'aarch64')).toEqual([
      { name: 'undecodable', reason: expect.stringContaining('unknown register') as string, value: vbs() },
    ]);
  });

  it('shows the fields that all data segments share once in a native context', () => {
    const context = new NativeContext();
    const segment = { base: 0n, limit: 0xffff, selector: 0x10, attributes: 0xc093 };
    context.setRegister({ name: 'ss', segment });
    expect(describeBytes('native', dataOf(context)).at(-1)).toEqual({ name: 'data segments', ...segment });
  });
});
