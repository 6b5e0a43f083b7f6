import { digestHex } from './digest-hex';
import type { Vmm } from './launch-digest';
import { MEASURED_PLATFORMS } from './measured-platform';
import type { Measurement } from './measure';

/** Measurements for people: a line each, the digest last. */
export const measurementText = (measurements: readonly Measurement[]): string =>
  measurements.map(({ platform, digest }) => `${platform}  ${describe(platform)}: ${digestHex(digest)}\n`).join('');

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
        digest: digestHex(digest),
        warnings,
      })),
    },
    undefined,
    2,
  )}\n`;
