import { PLATFORM_TYPE, type PlatformHeader } from './model';
import {
  existsOn,
  ISOLATION_NAMES,
  isMeasured,
  MEASURED_PLATFORMS,
  measuredPlatformOf,
  platformHeader,
} from './platforms';

const header = (platformType: number): PlatformHeader => ({
  compatibilityMask: 1,
  highestVtl: 0,
  platformType: platformType as PlatformHeader['platformType'],
  platformVersion: 1,
  sharedGpaBoundary: 0n,
});

describe('isolation types', () => {
  it('exist on every architecture, unless only one processor has them', () => {
    expect(ISOLATION_NAMES.filter((name) => existsOn(name, 'x64'))).toEqual(['none', 'vbs', 'snp', 'tdx']);
    expect(ISOLATION_NAMES.filter((name) => existsOn(name, 'aarch64'))).toEqual(['none', 'vbs']);
  });

  it('have a launch measurement, except for none', () => {
    expect(ISOLATION_NAMES.filter(isMeasured)).toEqual(['vbs', 'snp', 'tdx']);
  });
});

describe('measured platforms', () => {
  it('have the digest of their hardware or hypervisor', () => {
    expect(MEASURED_PLATFORMS).toEqual({
      snp: { algorithm: 'SHA-384', dependsOnVmm: true, label: 'SEV-SNP', platformType: PLATFORM_TYPE.SEV_SNP },
      tdx: { algorithm: 'SHA-384', dependsOnVmm: false, label: 'TDX', platformType: PLATFORM_TYPE.TDX },
      vbs: { algorithm: 'SHA-256', dependsOnVmm: false, label: 'VBS', platformType: PLATFORM_TYPE.VSM_ISOLATION },
    });
  });

  it('are known by the type in a header', () => {
    const types = Object.values(PLATFORM_TYPE);
    const named = types.filter((type) => measuredPlatformOf(header(type)) !== undefined);
    expect(named).toEqual([PLATFORM_TYPE.VSM_ISOLATION, PLATFORM_TYPE.SEV_SNP, PLATFORM_TYPE.TDX]);
  });
});

describe('platformHeader', () => {
  it('finds the header of a platform', () => {
    const snp = header(PLATFORM_TYPE.SEV_SNP);
    expect(platformHeader({ platforms: [header(PLATFORM_TYPE.TDX), snp] }, 'snp')).toBe(snp);
  });

  it.each([
    ['no platform', [], 'none'],
    ['other platforms', [PLATFORM_TYPE.TDX, PLATFORM_TYPE.NATIVE, 99], 'tdx, native, 99'],
  ])('names what a file with %s has instead', (_, types, named) => {
    expect(() => platformHeader({ platforms: types.map(header) }, 'snp')).toThrow(
      expect.objectContaining({
        code: 'MEASUREMENT_UNAVAILABLE',
        message: `the file has no snp platform (it has: ${named})`,
      }),
    );
  });
});
