import { IgvmError, unreachable } from '../errors/igvm-error';
import type { IgvmFile, PlatformHeader, PlatformType } from '../igvm/model';
import { platformOf } from '../igvm/platforms';
import { ISOLATIONS, type MeasuredIsolation } from '../manifest/isolation';

/** A platform with a launch measurement, by the name of its isolation type. */
export type MeasuredPlatform = MeasuredIsolation;

/** What a launch measurement is. */
interface LaunchMeasurement {
  readonly algorithm: 'SHA-256' | 'SHA-384';
  /** Whether the digest depends on what launches the guest. */
  readonly dependsOnVmm: boolean;
}

const MEASUREMENTS: Readonly<Record<MeasuredPlatform, LaunchMeasurement>> = {
  snp: { algorithm: 'SHA-384', dependsOnVmm: true },
  tdx: { algorithm: 'SHA-384', dependsOnVmm: false },
  vbs: { algorithm: 'SHA-256', dependsOnVmm: false },
};

export const MEASURED_PLATFORM_NAMES = Object.keys(MEASUREMENTS) as MeasuredPlatform[];

/** What messages call each measured platform, and what its launch measurement is. */
export const MEASURED_PLATFORMS = Object.fromEntries(
  MEASURED_PLATFORM_NAMES.map((name) => {
    const { platformType } = ISOLATIONS[name];
    const { label } = platformOf(platformType) ?? unreachable(`no platform for ${name}`);
    return [name, { platformType, label, ...MEASUREMENTS[name] }];
  }),
) as Record<MeasuredPlatform, LaunchMeasurement & { platformType: PlatformType; label: string }>;

/** The measured platform of a header; undefined when its type has no launch measurement. */
export function measuredPlatformOf(header: PlatformHeader): MeasuredPlatform | undefined {
  return MEASURED_PLATFORM_NAMES.find((name) => MEASURED_PLATFORMS[name].platformType === header.platformType);
}

/**
 * The header of a platform.
 * @throws IgvmError MEASUREMENT_UNAVAILABLE naming the platforms that the file has.
 */
export function platformHeader(file: Pick<IgvmFile, 'platforms'>, platform: MeasuredPlatform): PlatformHeader {
  const header = file.platforms.find((candidate) => measuredPlatformOf(candidate) === platform);
  if (header !== undefined) return header;
  const present = file.platforms.map(
    (candidate) =>
      measuredPlatformOf(candidate) ?? platformOf(candidate.platformType)?.label ?? String(candidate.platformType),
  );
  throw new IgvmError(
    'MEASUREMENT_UNAVAILABLE',
    `the file has no ${platform} platform (it has: ${present.join(', ') || 'none'})`,
  );
}
