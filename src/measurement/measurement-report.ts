import { digestHex } from './digest-hex';
import { DEFAULT_LAUNCH, type Launch, launchLabel } from './launches';
import { MEASURED_PLATFORMS } from './measured-platform';
import type { Measurement, MeasurementReport } from './measure';

/** Measurements for people: a line each, the digest last. */
export const measurementText = (measurements: readonly Measurement[]): string =>
  measurements
    .map(({ platform, launch, digest }) => `${platform}  ${describe(platform, launch)}: ${digestHex(digest)}\n`)
    .join('');

function describe(platform: Measurement['platform'], launch: Launch | undefined): string {
  const { label, algorithm } = MEASURED_PLATFORMS[platform];
  const how = launch === undefined || launch.vmm === DEFAULT_LAUNCH.vmm ? '' : `, ${launchLabel(launch)}`;
  return `${label} launch digest (${algorithm})${how}`;
}

/** Measurements for programs. `vmm` is there where the digest depends on it, and so are `vcpus`, `cpu` and `kvmMode`. */
export const measurementJson = ({ measurements, refusals }: MeasurementReport): string =>
  `${JSON.stringify(
    {
      measurements: measurements.map(({ platform, launch, compatibilityMask, digest, warnings }) => ({
        platform,
        ...launchJson(launch),
        compatibilityMask,
        algorithm: MEASURED_PLATFORMS[platform].algorithm,
        digest: digestHex(digest),
        warnings,
      })),
      refusals: refusals.map(({ platform, launch, reason }) => ({ platform, ...launchJson(launch), reason })),
    },
    undefined,
    2,
  )}\n`;

/** A launch as JSON states it. */
export function launchJson(launch: Launch | undefined): Record<string, unknown> {
  if (launch === undefined) return {};
  const { vmm, vcpus, cpu, kvmMode } = launch;
  return { vmm, vcpus, cpu: cpu?.name, kvmMode };
}
