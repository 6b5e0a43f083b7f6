import { decodeNativeContext } from '../../vp-context/native';
import { importDefaultGdt } from './gdt';
import { LaidOutGuest, hex } from '../guest/laid-out-guest.fixture';

describe('importDefaultGdt', () => {
  it('imports null, code, data, null, and points the registers there', async () => {
    const guest = await LaidOutGuest.of({ native: true }, (importer) => importDefaultGdt(importer, 2));
    expect(guest.map).toEqual(['default-gdt 2000-3000']);
    const page = guest.page(0x2000);
    expect([0, 8, 16, 24].map((at) => hex(page, at, 8))).toEqual([
      '0000000000000000',
      'ffff0000009ba000',
      'ffff00000093c000',
      '0000000000000000',
    ]);
    const [context] = guest.directives('vpContext');
    expect(context && decodeNativeContext(context.data)).toMatchObject({
      gdtr: { base: 0x2000n, limit: 0x1f },
      code: { selector: 8, attributes: 0xa09b, base: 0n, limit: 0xffffffff },
      data: { selector: 0x10, attributes: 0xc093, base: 0n, limit: 0xffffffff },
      gsBase: 0n,
    });
  });
});
