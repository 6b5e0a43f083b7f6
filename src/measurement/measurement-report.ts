import type { Vmm } from './launch-digest';
import { MEASURED_PLATFORMS } from './measured-platform';
import type { Measurement } from './measure';

const hexOf = (digest: Uint8Array): string => Buffer.from(digest).toString('hex').toUpperCase();

/** Measurements for people: a line each, the digest last. */
export const measurementText = (measurements: readonly Measurement[]): string =>
  measurements.map(({ platform, digest }) => `${platform}  ${describe(platform)}: ${hexOf(digest)}\n`).join('');

const describe = (platform: Measurement['platform']): string => {
  const { label, algorithm } = MEASURED_PLATFORMS[platform];
  return `${label} launch digest (${algorithm})`;
};

/** Measurements for programs. `vmm` is there where the digest depends on it. */
export const measurementJson = (measurements: readonly Measurement[], vmm: Vmm): string =>
  `${JSON.stringify(
    {
      measurements: measurements.map(({ platform, compatibilityMask, digest, warnings }) => ({
        platform,
        ...(MEASURED_PLATFORMS[platform].dependsOnVmm ? { vmm } : {}),
        compatibilityMask,
        algorithm: MEASURED_PLATFORMS[platform].algorithm,
        digest: hexOf(digest),
        warnings,
      })),
    },
    undefined,
    2,
  )}\n`;
