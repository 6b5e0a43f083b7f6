import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { printable } from '../errors/printable';
import { withImage } from '../files/igvm-image';
import { type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { PLATFORM_NAMES, platformOf } from '../igvm/platforms';
import { siblingPath } from '../manifest/image-files';
import type { describeImage } from '../image/described-image';
import { measuredPlatformOf } from '../igvm/isolation';
import { fitsMap } from '../regions/guest-regions';
import { mapBeside } from '../regions/image-map';
import { compareLocks, type LockDifference } from './compare-locks';
import { manifestLaunches, readLock } from './lock-file';
import { lockImage, tagsOfLock } from './lock-of-image';
import type { MeasurementLock } from './lock-schema';

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
  /** The platforms that were checked, by their short names; empty for an image that nobody has to prove anything to. */
  platforms: string[];
  differences: LockDifference[];
  /** Documents that are not the image's, one sentence each, of an image that isn't the lock's either. */
  complaints: string[];
  /** Who signed what, one sentence a signature in the image. Signatures are checked; whose they have to be, the lock doesn't say. */
  signers: string[];
}

/**
 * Checks that an image is what its lock says, in everything that the lock says: digests, all platforms, how guests may be launched,
 * headers, registers, regions; and that the documents in the image and beside it are, byte for byte, those that follow from it.
 * @throws IgvmError SIBLINGS_STALE when nothing but a document is wrong; PAGES_OVERLAP; LOCK_MISSING unless no guest of the image is
 *   isolated; LOCK_INVALID; MEASUREMENT_IMPOSSIBLE; and as withImage does
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
 * How an image that is open compares with its lock; unlike {@link verifyImage}, wrong documents are in the report.
 * @param describe what describes the image, for whoever wants the description as well
 * @throws IgvmError as verifyImage does, but for SIBLINGS_STALE
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
  // Launches that the manifest names and the lock doesn't have are a difference.
  const launches = expected && manifestLaunches(lock, display);
  const sources = { map: tags, image, expected, launches, describe };
  const { lock: actual, signers, refusals, ...found } = await lockImage(file, sources);
  const complaints = expected === undefined ? [] : [...found.complaints, ...refusals];
  if (map !== undefined && !fits) {
    complaints.unshift(`${basename(image)}.map describes another layout than the image has`);
  }
  const differences = expected === undefined ? [] : compareLocks(expected, actual);
  const platforms = PLATFORM_NAMES.filter((name) => expected?.platforms[name] !== undefined);
  return { platforms, differences, complaints, signers: expected === undefined ? [] : signers };
}

/** Undefined when there is no lock, and no guest that needs one. */
function lockOrNone(isIsolated: boolean, path: string, display: string): MeasurementLock | undefined {
  try {
    return readLock(path, display);
  } catch (error) {
    if (error instanceof IgvmError && error.code === 'LOCK_MISSING' && !isIsolated) return undefined;
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

/** Why an image that differs from its lock fails, in one sentence. @param lock as messages name it */
export const mismatchText = ({ differences }: VerifyReport, lock: string): string =>
  differences.some(({ digests, missingIn }) => digests.length > 0 || missingIn !== undefined)
    ? `the image measures differently than ${lock} says`
    : `the image measures as ${lock} says, but is not what it describes`;

/** Changes that a report lists of a platform. */
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

/** What messages call a platform. @param name its short name */
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
  // Each launch of one side is missing in the other, as after a change of the manifest's launches.
  const hasOtherLaunches =
    digests.length > 0 && digests.every(({ expected, actual }) => expected === undefined || actual === undefined);
  const digestText = hasOtherLaunches
    ? `${label}: the lock has the digests of other launches`
    : `${label}: the launch digest is not the expected one`;
  const sameText = hasOtherLaunches
    ? '  nothing else that the lock lists has changed'
    : '  nothing that the lock lists has changed: its order may have';
  return [
    digests.length > 0
      ? digestText
      : `${label}: ${isMeasured ? 'no launch digest says otherwise, but it ' : ''}is not what the lock describes`,
    ...digests.flatMap(({ launch, expected, actual }) => [
      `  ${launch === '' ? '' : `${launch} `}expected ${expected ?? 'none'}`,
      `  ${launch === '' ? '' : `${launch} `}actual   ${actual ?? 'none'}`,
    ]),
    changes.length === 0 ? sameText : '  changed:',
    ...changes.slice(0, MOST_CHANGES).map((change) => `    ${printable(change)}`),
    ...(hidden > 0 ? [`    and ${hidden} more`] : []),
  ];
}
