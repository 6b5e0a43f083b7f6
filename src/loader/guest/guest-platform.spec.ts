import { pathOf } from '../../errors/json-path.fixture';
import { PLATFORM_TYPE } from '../../igvm/model';
import { type GuestIsolation, guestPlatform } from './guest-platform';

const snp: GuestIsolation = {
  type: 'snp',
  policy: 0x30000n,
  injectionType: 'normal',
  secureAvic: 'disabled',
  sharedGpaBoundaryBits: 46,
};
const vbs: GuestIsolation = { type: 'vbs', enableDebug: false };

describe('the platform of a guest', () => {
  it('shares memory from the boundary on, or marks it with the C-bit', () => {
    const shared = guestPlatform({ arch: 'x64', isolation: snp, maxVtl: 2 });
    expect(shared).toMatchObject({ version: 1, policy: 0x30000n, header: { platformType: PLATFORM_TYPE.SEV_SNP } });
    expect(shared.header.sharedGpaBoundary).toBe(1n << 46n);
    const snpLinuxDirect = { cBitMask: 1n << 51n, ramPageCount: 512 };
    const direct = guestPlatform({ arch: 'x64', isolation: snp, maxVtl: 0, snpLinuxDirect });
    expect(direct).toMatchObject({ header: { sharedGpaBoundary: 0n }, fixedRam: { pageCount: 512 } });
  });

  it('uses version 2 of the format if version 1 does not support it', () => {
    expect(guestPlatform({ arch: 'x64', isolation: vbs, maxVtl: 0 }).version).toBe(1);
    expect(guestPlatform({ arch: 'aarch64', isolation: vbs, maxVtl: 0 }).version).toBe(2);
    const native = guestPlatform({ arch: 'x64', isolation: { type: 'none' }, maxVtl: 0, native: true });
    expect(native).toMatchObject({ version: 2, header: { platformType: PLATFORM_TYPE.NATIVE } });
  });

  it.each<[string, Parameters<typeof guestPlatform>[0], string]>([
    ['SNP on aarch64', { arch: 'aarch64', isolation: snp, maxVtl: 0 }, 'isolation_type'],
    [
      'SNP without a boundary',
      { arch: 'x64', isolation: { ...snp, sharedGpaBoundaryBits: undefined }, maxVtl: 0 },
      'isolation_type.snp',
    ],
  ])('refuses %s, and names the key of the manifest', (_, spec, jsonPath) => {
    expect(() => guestPlatform(spec)).toThrow(
      expect.objectContaining({ code: 'ISOLATION_UNSUPPORTED', where: { jsonPath: pathOf(jsonPath) } }),
    );
  });
});
