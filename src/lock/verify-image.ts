import { existsSync } from 'node:fs';
import { siblingPath } from '../build/output-names';
import { mapBeside } from '../regions/map-beside';
import { withImage } from '../files/igvm-image';
import type { IgvmFile } from '../igvm/model';
import { printable } from '../errors/printable';
import { MEASURED_PLATFORMS, type MeasuredPlatform, measuredPlatformOf } from '../measurement/measured-platform';
import { IgvmError } from '../errors/igvm-error';
import { compareLocks, type PlatformDifference } from './compare-locks';
import { readLock } from './lock-file';
import { lockOfImage, tagsOfLock } from './lock-of-image';
import type { MeasurementLock } from './model';
import { staleSiblings } from './stale-siblings';

/** What to check against what. */
export interface VerifyRequest {
  /** Path of the image. */
  image: string;
  /** Path of the lock. */
  lock: string;
  /** How messages name a path. Default: as given. */
  display?: (path: string) => string;
}

/** How a check came out. */
export interface VerifyReport {
  /** What was checked; empty for an image that nobody has to prove anything to. */
  platforms: MeasuredPlatform[];
  differences: PlatformDifference[];
}

/**
 * Checks that an image measures what its lock says, and that the files beside it are of its build.
 * @throws IgvmError SIBLINGS_STALE; LOCK_MISSING unless no guest of the image is isolated; LOCK_INVALID;
 *   MEASUREMENT_IMPOSSIBLE; and as withImage does
 */
export async function verifyImage({ image, lock, display = String }: VerifyRequest): Promise<VerifyReport> {
  return withImage(image, async ({ file }) => {
    const expected = lockOrNone(hasIsolation(file, image), lock, display(lock));
    const map = mapBeside(image);
    const actual = await lockOfImage(file, map ?? tagsOfLock(expected, file));
    const stale = staleSiblings(image, file, actual, map);
    if (stale.length > 0) {
      throw new IgvmError('SIBLINGS_STALE', stale.join('; '), { file: display(image) });
    }
    const platforms = Object.keys(expected.platforms) as MeasuredPlatform[];
    return {
      platforms,
      differences: platforms.length === 0 && !hasIsolation(file, image) ? [] : compareLocks(expected, actual),
    };
  });
}

function lockOrNone(isIsolated: boolean, path: string, display: string): MeasurementLock {
  try {
    return readLock(path, display);
  } catch (error) {
    if (error instanceof IgvmError && error.code === 'LOCK_MISSING' && !isIsolated) {
      return { lockVersion: 1, platforms: {} };
    }
    throw error;
  }
}

/**
 * Whether a guest of the image has to prove what it is. SEV-SNP and TDX guests always do; a guest of Hyper-V's platform without
 * isolation differs from an isolated one only in that nothing endorses it: neither a CoRIM in the image nor, where that was left
 * out, one beside it.
 */
const hasIsolation = ({ platforms, initializations }: IgvmFile, image: string): boolean =>
  platforms.some((header) => {
    const platform = measuredPlatformOf(header);
    if (platform !== 'vbs') return platform !== undefined;
    const isEndorsed = initializations.some(
      (each) => each.type === 'corimDocument' && (each.compatibilityMask & header.compatibilityMask) !== 0,
    );
    return isEndorsed || existsSync(siblingPath(image, platform, '.cbor'));
  });

/** Changes that a report lists of a platform. */
const MOST_CHANGES = 30;

/** The report for people. */
export function verifyText({ platforms, differences }: VerifyReport): string {
  if (differences.length === 0) {
    return platforms.length === 0
      ? 'nothing to verify: no guest of the image is isolated'
      : `measures as its lock says: ${platforms.map((platform) => MEASURED_PLATFORMS[platform].label).join(', ')}`;
  }
  return differences.flatMap(differenceLines).join('\n');
}

function differenceLines({ platform, missingIn, digests, changes }: PlatformDifference): string[] {
  const { label } = MEASURED_PLATFORMS[platform];
  if (missingIn === 'image') return [`${label}: in the lock, but not in the image`];
  if (missingIn === 'lock') return [`${label}: in the image, but not in the lock`];
  const hidden = changes.length - MOST_CHANGES;
  return [
    `${label}: the launch digest is not the expected one`,
    ...digests.flatMap(({ vmm, expected, actual }) => [
      `  ${vmm === 'any' ? '' : `${vmm} `}expected ${expected ?? 'none'}`,
      `  ${vmm === 'any' ? '' : `${vmm} `}actual   ${actual ?? 'none'}`,
    ]),
    changes.length === 0 ? '  nothing that the lock lists has changed: its order may have' : '  changed:',
    ...changes.slice(0, MOST_CHANGES).map((change) => `    ${printable(change)}`),
    ...(hidden > 0 ? [`    and ${hidden} more`] : []),
  ];
}
