import { IgvmError } from '../errors/igvm-error';
import { type IgvmFile, PLATFORM_TYPE, type PlatformHeader, type PlatformType } from '../igvm/model';

/** The platforms with a launch measurement, by the names of the command line and of sibling files. */
export const MEASURED_PLATFORMS = {
  snp: { platformType: PLATFORM_TYPE.SEV_SNP, label: 'SEV-SNP', algorithm: 'SHA-384' },
  tdx: { platformType: PLATFORM_TYPE.TDX, label: 'TDX', algorithm: 'SHA-384' },
  vbs: { platformType: PLATFORM_TYPE.VSM_ISOLATION, label: 'VBS', algorithm: 'SHA-256' },
} as const satisfies Record<string, { platformType: PlatformType; label: string; algorithm: string }>;

export type MeasuredPlatform = keyof typeof MEASURED_PLATFORMS;

export const MEASURED_PLATFORM_NAMES = Object.keys(MEASURED_PLATFORMS) as MeasuredPlatform[];

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
    (candidate) => measuredPlatformOf(candidate) ?? 'one without a launch measurement',
  );
  throw new IgvmError(
    'MEASUREMENT_UNAVAILABLE',
    `the file has no ${platform} platform (it has: ${present.join(', ') || 'none'})`,
  );
}
