import { formatPlaced, IgvmError, unreachable } from '../errors/igvm-error';
import type { IgvmFile } from '../igvm/model';
import { digestHex } from './digest-hex';
import { DEFAULT_LAUNCH } from './launches';
import type { Vmm } from './vmm-profiles';
import { measurablePlatforms, measure } from './measure';
import { MEASURED_PLATFORMS, type MeasuredPlatform } from './measured-platform';

/** A launch digest of an image, or why there is none. */
export interface ImageDigest {
  platform: MeasuredPlatform;
  /** Where the digest depends on what launches the guest. */
  vmm?: Vmm;
  /** Upper-case hexadecimal. */
  digest?: string;
  /** One sentence, with the place in the guest. */
  reason?: string;
}

/** The VMM whose digest an image's own documents endorse, for each platform whose digest depends on it. */
export const vmmsOf = (platform: MeasuredPlatform): readonly (Vmm | undefined)[] =>
  MEASURED_PLATFORMS[platform].dependsOnVmm ? [DEFAULT_LAUNCH.vmm] : [undefined];

/**
 * All launch digests of an image: of each platform, and for SEV-SNP as the VMM launches it that its documents endorse.
 * @throws IgvmError FILE_CHANGED, FILE_UNREADABLE from its sources
 */
export async function imageDigests(file: IgvmFile): Promise<ImageDigest[]> {
  const digests: ImageDigest[] = [];
  for (const platform of new Set(measurablePlatforms(file))) digests.push(...(await platformDigests(file, platform)));
  return digests;
}

/**
 * The launch digests of one platform, of each VMM where they depend on it.
 * @throws IgvmError MEASUREMENT_UNAVAILABLE when the file doesn't have it; FILE_CHANGED, FILE_UNREADABLE from its sources
 */
export async function platformDigests(file: IgvmFile, platform: MeasuredPlatform): Promise<ImageDigest[]> {
  const digests: ImageDigest[] = [];
  for (const vmm of vmmsOf(platform)) digests.push(await digestOf(file, platform, vmm));
  return digests;
}

async function digestOf(file: IgvmFile, platform: MeasuredPlatform, vmm: Vmm | undefined): Promise<ImageDigest> {
  const base = vmm === undefined ? { platform } : { platform, vmm };
  try {
    const [measurement] = await measure(file, { platforms: [platform] });
    return { ...base, digest: digestHex((measurement ?? unreachable('a platform without a digest')).digest) };
  } catch (error) {
    if (!(error instanceof IgvmError) || error.code !== 'MEASUREMENT_IMPOSSIBLE') throw error;
    return { ...base, reason: formatPlaced(error.message, { gpa: error.where.gpa }) };
  }
}
