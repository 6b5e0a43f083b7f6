import { IgvmError, unreachable } from '../errors/igvm-error';
import type { IgvmFile } from '../igvm/model';
import { streamDirectives } from '../igvm/stream';
import type { LaunchDigest, Vmm } from './launch-digest';
import { type MeasuredPlatform, measuredPlatformOf, platformHeader } from './measured-platform';
import { SnpLaunchDigest } from './snp';
import { TdxLaunchDigest } from './tdx';
import { VbsLaunchDigest } from './vbs';

/** The launch measurement of one platform of a file. */
export interface Measurement {
  platform: MeasuredPlatform;
  compatibilityMask: number;
  digest: Uint8Array;
  /** What the VMM would do otherwise than the digest assumes. */
  warnings: readonly string[];
}

export interface MeasureOptions {
  /** Default: every platform of the file that has a launch measurement. */
  platforms?: MeasuredPlatform[];
  /** Default: hyperv. */
  vmm?: Vmm;
}

/** What a measurement looks at before the guest is streamed. */
type MeasuredFile = Pick<IgvmFile, 'platforms' | 'initializations' | 'directives'>;

const LAUNCH_DIGESTS: Record<MeasuredPlatform, (file: MeasuredFile, mask: number, vmm: Vmm) => LaunchDigest> = {
  snp: (file, mask, vmm) => new SnpLaunchDigest(file, mask, vmm),
  tdx: (_, mask) => new TdxLaunchDigest(mask),
  vbs: (file, mask) => new VbsLaunchDigest(file, mask),
};

/**
 * The launch digest of a guest that is about to be streamed (a build measures and writes in the same pass).
 * @throws IgvmError MEASUREMENT_UNAVAILABLE, MEASUREMENT_IMPOSSIBLE
 */
export function launchDigest(file: MeasuredFile, platform: MeasuredPlatform, vmm: Vmm = 'hyperv'): LaunchDigest {
  return LAUNCH_DIGESTS[platform](file, platformHeader(file, platform).compatibilityMask, vmm);
}

/** The platforms of a file that have a launch measurement, in the order of its headers. */
export function measurablePlatforms(file: Pick<IgvmFile, 'platforms'>): MeasuredPlatform[] {
  return file.platforms.map(measuredPlatformOf).filter((platform) => platform !== undefined);
}

/**
 * The launch measurements of a file, in one pass over its pages and in the order of its platform headers.
 * @throws IgvmError MEASUREMENT_UNAVAILABLE for a platform that the file does not have, or when it has none at all;
 *   MEASUREMENT_IMPOSSIBLE; FILE_CHANGED, FILE_UNREADABLE from its sources.
 */
export async function measure(file: IgvmFile, options: MeasureOptions = {}): Promise<Measurement[]> {
  const platforms = options.platforms ?? measurablePlatforms(file);
  if (platforms.length === 0) {
    throw new IgvmError('MEASUREMENT_UNAVAILABLE', 'no platform of the file has a launch measurement');
  }
  const digests: LaunchDigest[] = [];
  try {
    for (const platform of platforms) digests.push(launchDigest(file, platform, options.vmm));
    await streamDirectives(file, digests);
    const measurements: Measurement[] = [];
    for (const [index, platform] of platforms.entries()) {
      const observer = digests[index] ?? unreachable('a platform without a digest');
      const digest = await observer.digest();
      measurements.push({
        platform,
        compatibilityMask: observer.compatibilityMask,
        digest,
        warnings: observer.warnings,
      });
    }
    return measurements;
  } finally {
    await Promise.all(digests.map((digest) => digest.close()));
  }
}
