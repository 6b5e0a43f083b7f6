import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { printable } from '../errors/printable';
import { withImage } from '../files/igvm-image';
import { type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { PLATFORM_NAMES, platformOf, measuredPlatformOf } from '../igvm/platforms';
import { siblingPath } from '../manifest/image-files';
import type { describeImage } from '../image/described-image';
import { fitsMap } from '../regions/guest-regions';
import { mapBeside } from '../regions/image-map';
import { compareLocks, type LockDifference } from './compare-locks';
import { manifestLaunches, readLock } from './lock-file';
import { lockImage, tagsOfLock } from './lock-of-image';
import type { MeasurementLock } from './lock-schema';

/** The image and the lock to compare. */
export interface VerifyRequest {
  /** Path of the image. */
  image: string;
  /** Path of the lock. */
  lock: string;
  /** How messages name a path. Default: as given. */
  display?: (path: string) => string;
}

/** The result of a check. */
export interface VerifyReport {
  /** The platforms that were checked, by their short names; empty for an image without isolated guests and without a lock. */
  platforms: string[];
  differences: LockDifference[];
  /** A sentence for each document that doesn't match the image, if the image doesn't match the lock either. */
  complaints: string[];
  /** A sentence for each signature in the image, with its signer. Signatures are checked, but the lock doesn't name the signer. */
  signers: string[];
}

/**
 * Checks that an image agrees with its lock in everything: digests, all platforms, launch policies, headers, registers and regions. Also
 * checks that the documents in the image and beside it are, byte for byte, those of the image.
 * @throws IgvmError SIBLINGS_STALE when only a document is wrong; PAGES_OVERLAP; LOCK_MISSING unless no guest of the image is
 *   isolated; LOCK_INVALID; MEASUREMENT_IMPOSSIBLE; and as withImage
 */
export async function verifyImage(request: VerifyRequest): Promise<VerifyReport> {
  const { image, display = String } = request;
  return withImage(image, async ({ file }) => {
    const report = await compareWithLock(file, request);
    if (report.complaints.length > 0 && report.differences.length === 0) {
      throw new IgvmError('SIBLINGS_STALE', report.complaints.join('; '), { file: display(image) });
    }
    return report;
  });
}

/**
 * Compares an open image with its lock. Unlike {@link verifyImage}, it reports wrong documents instead of throwing.
 * @param describe describes the image; for callers that also use the description
 * @throws IgvmError as verifyImage, except for SIBLINGS_STALE
 */
export async function compareWithLock(
  file: IgvmFile,
  { image, lock, display = String }: VerifyRequest,
  describe?: typeof describeImage,
): Promise<VerifyReport> {
  const expected = lockOrNone(hasIsolation(file, image), lock, display(lock));
  const map = mapBeside(image);
  const fits = map !== undefined && fitsMap(file, map);
  const tags = fits ? map : expected && tagsOfLock(expected, file);
  // Launches that are in the manifest but not in the lock are a difference.
  const launches = expected && manifestLaunches(lock, display);
  const sources = { map: tags, image, expected, launches, describe };
  const { lock: actual, signers, refusals, ...found } = await lockImage(file, sources);
  const complaints = expected === undefined ? [] : [...found.complaints, ...refusals];
  if (map !== undefined && !fits) {
    complaints.unshift(`${basename(image)}.map does not match the layout of the image`);
  }
  const differences = expected === undefined ? [] : compareLocks(expected, actual);
  const platforms = PLATFORM_NAMES.filter((name) => expected?.platforms[name] !== undefined);
  return { platforms, differences, complaints, signers: expected === undefined ? [] : signers };
}

/** Undefined when there is no lock and no guest needs one. */
function lockOrNone(isIsolated: boolean, path: string, display: string): MeasurementLock | undefined {
  try {
    return readLock(path, display);
  } catch (error) {
    if (error instanceof IgvmError && error.code === 'LOCK_MISSING' && !isIsolated) return undefined;
    throw error;
  }
}

/**
 * Whether the image needs a lock because one of its guests is isolated. SEV-SNP and TDX guests always are. A guest of Hyper-V's platform
 * is isolated if there is a CoRIM about it, in the image or beside it. Nothing else distinguishes it from one without isolation.
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

/** The message for an image that differs from its lock. @param lock its name in messages */
export const mismatchText = ({ differences }: VerifyReport, lock: string): string =>
  differences.some(({ digests, missingIn }) => digests.length > 0 || missingIn !== undefined)
    ? `the image does not have the launch digests of ${lock}`
    : `the image has the launch digests of ${lock}, but differs from it otherwise`;

/** The most changes to list for a platform. */
const MOST_CHANGES = 30;

/** The report for people. */
export function verifyText({ platforms, differences, complaints, signers }: VerifyReport): string {
  if (differences.length > 0) {
    const documents =
      complaints.length === 0 ? [] : ['documents:', ...complaints.map((each) => `  ${printable(each)}`)];
    return [...differences.flatMap(differenceLines), ...documents].join('\n');
  }
  if (platforms.length === 0) return 'nothing to verify: the image has no isolated guests';
  const head = `matches its lock: ${platforms.map(platformLabel).join(', ')}`;
  return [head, ...signers.map((each) => `  ${printable(each)}`)].join('\n');
}

/** The name of a platform in messages. @param name its short name */
export const platformLabel = (name: string): string => {
  const type = Object.values(PLATFORM_TYPE).find((each) => platformOf(each)?.name === name);
  return (type === undefined ? undefined : platformOf(type)?.label) ?? name;
};

function differenceLines({ platform, missingIn, digests, changes }: LockDifference): string[] {
  const label = platform === undefined ? 'the file' : platformLabel(platform);
  if (missingIn === 'image') return [`${label}: in the lock, but not in the image`];
  if (missingIn === 'lock') return [`${label}: in the image, but not in the lock`];
  const hidden = changes.length - MOST_CHANGES;
  const isMeasured = platform !== undefined && digests.length === 0;
  // Each launch of one side is missing in the other, for example after a change of the manifest's launches.
  const hasOtherLaunches =
    digests.length > 0 && digests.every(({ expected, actual }) => expected === undefined || actual === undefined);
  const digestText = hasOtherLaunches
    ? `${label}: the lock has the digests of other launches`
    : `${label}: the launch digest is not the expected one`;
  const sameText = hasOtherLaunches
    ? '  nothing else that the lock lists has changed'
    : '  nothing that the lock lists has changed, except perhaps the order';
  return [
    digests.length > 0
      ? digestText
      : `${label}: ${isMeasured ? 'the launch digests match, but the guest ' : ''}differs from the lock`,
    ...digests.flatMap(({ launch, expected, actual }) => [
      `  ${launch === '' ? '' : `${launch} `}expected ${expected ?? 'none'}`,
      `  ${launch === '' ? '' : `${launch} `}actual   ${actual ?? 'none'}`,
    ]),
    changes.length === 0 ? sameText : '  changed:',
    ...changes.slice(0, MOST_CHANGES).map((change) => `    ${printable(change)}`),
    ...(hidden > 0 ? [`    and ${hidden} more`] : []),
  ];
}
