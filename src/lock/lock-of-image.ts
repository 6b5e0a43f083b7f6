import { createHash } from 'node:crypto';
import {
  checkDocuments,
  claimsOfDocuments,
  type DocumentClaims,
  type DocumentedGuest,
  type GuestDocuments,
  guestDocuments,
} from '../endorsement/image-documents';
import { guestPolicy } from '../endorsement/guest-documents';
import { hex } from '../errors/printable';
import { IgvmError } from '../errors/igvm-error';
import type { IgvmFile } from '../igvm/model';
import { platformOf, MEASURED_PLATFORMS } from '../igvm/platforms';
import {
  type DescribedGuest,
  type DescribedRegion,
  describeImage,
  type LaunchedDigest,
} from '../image/described-image';
import type { Facts } from '../image/guest-facts';
import { DEFAULT_LAUNCH, type Launch, launchesOf, launchName, launchRequest } from '../measurement/launches';
import type { TaggedRange } from '../regions/image-map';
import type { LockedDigest, LockedDocuments, LockedPlatform, LockedRegion, MeasurementLock } from './lock-schema';

/** The names of regions in a lock, for an image without a map. */
export const tagsOfLock = ({ platforms }: MeasurementLock, file: Pick<IgvmFile, 'platforms'>): TaggedRange[][] =>
  file.platforms.map(({ platformType }) => {
    const regions = platforms[platformOf(platformType)?.name ?? '']?.regions ?? [];
    return regions.flatMap(({ gpa, size, tag }) => {
      const start = Number.parseInt(gpa, 16);
      return tag === undefined ? [] : [{ gpa: start, end: start + Number.parseInt(size, 16), tag }];
    });
  });

/** The version of locks that are written. Also in the schema, which is loaded only to read a lock. */
const LOCK_VERSION = 2;

/** The lock that matches an image, and what is wrong with the documents about the image. */
export interface ImageLock {
  lock: MeasurementLock;
  /** A sentence for each document that doesn't match the image. */
  complaints: string[];
  /** A sentence for each signature in the image, with its signer. */
  signers: string[];
  /** Why a requested launch has no digest, a line each. */
  refusals: string[];
}

/** Sources of a lock in addition to the image file. */
export interface LockSources {
  /** The tagged ranges of each guest, in the order of the platform headers. */
  map?: readonly (readonly TaggedRange[])[];
  /** Path of the image, for the documents beside it. Default: there are none. */
  image?: string;
  /** The lock whose claims the documents should contain. */
  expected?: MeasurementLock;
  /** Describes the image. For callers that also use the description. */
  describe?: typeof describeImage;
  /** The launches of an SEV-SNP guest to cover. Default: those of `expected`, or else the one that documents endorse. */
  launches?: readonly Launch[];
}

/** The launches whose digests a lock has. @throws IgvmError LAUNCH_INVALID */
export function launchesInLock({ platforms }: MeasurementLock): Launch[] {
  const requests = Object.values(platforms).flatMap(({ digests = [] }) =>
    digests.flatMap(({ launches = [] }) => launches),
  );
  return [...new Map(requests.flatMap(launchesOf).map((launch) => [launchName(launch), launch])).values()];
}

/**
 * The lock of an image: its contents and launch digests, for every platform and VMM. Reads its pages once.
 * @throws IgvmError MEASUREMENT_IMPOSSIBLE for a measured platform without any digest, because two such guests would look the same;
 *   PAGES_OVERLAP when a guest has overlapping pages, because it is not certain which of them it gets; FILE_CHANGED, FILE_UNREADABLE
 *   from the file's sources
 */
export async function lockImage(file: IgvmFile, sources: LockSources): Promise<ImageLock> {
  const { map, image, expected, describe = describeImage } = sources;
  const known = expected === undefined ? [] : launchesInLock(expected);
  const launches = sources.launches ?? (known.length === 0 ? [DEFAULT_LAUNCH] : known);
  const described = await describe(file, map, launches);
  const result: ImageLock = {
    lock: { lockVersion: LOCK_VERSION, file: Object.fromEntries(described.file), platforms: {} },
    complaints: [],
    signers: [],
    refusals: [],
  };
  for (const guest of described.guests) {
    checkOverlaps(guest);
    const documented = documentedGuest(guest, file, image);
    let claims: DocumentClaims = {};
    if (documented !== undefined) {
      claims = claimsOfDocuments(documented, claimsOfLock(expected?.platforms[guest.name]));
      const { complaints, signers } = checkDocuments(documented, claims);
      for (const each of complaints) result.complaints.push(each);
      for (const each of signers) result.signers.push(each);
    }
    result.lock.platforms[guest.name] = lockedPlatform(guest, file, documented, claims, launches);
    for (const reason of guest.refusals) result.refusals.push(reason);
  }
  return result;
}

/** The lock of an image file, without the documents beside it. See {@link lockImage}. */
export const lockOfImage = async (
  file: IgvmFile,
  map: readonly (readonly TaggedRange[])[] | undefined,
): Promise<MeasurementLock> => (await lockImage(file, { map })).lock;

function checkOverlaps({ label, overlaps: [first, ...more] }: DescribedGuest): void {
  if (first === undefined) return;
  const others = more.length === 0 ? '' : ` and in ${more.length} more ${more.length === 1 ? 'place' : 'places'}`;
  throw new IgvmError('PAGES_OVERLAP', `the ${label} guest has overlapping pages here${others}`, {
    gpa: { start: first.gpa, end: first.end },
  });
}

/** The input for documents about a guest; undefined for a platform without launch measurement. */
export function documentedGuest(
  { platform, header, digests, policy }: Pick<DescribedGuest, 'platform' | 'header' | 'digests' | 'policy'>,
  file: IgvmFile,
  image: string | undefined,
): DocumentedGuest | undefined {
  if (platform === undefined) return undefined;
  const { compatibilityMask } = header;
  return {
    image,
    file,
    platform,
    compatibilityMask,
    // Documents endorse the launch that follows the order of the file.
    digest: digests.find(({ launch }) => launch === undefined || launch.vmm === DEFAULT_LAUNCH.vmm)?.digest,
    policy: platform === 'snp' ? guestPolicy(file, compatibilityMask) : undefined,
    debugEnabled: platform === 'vbs' ? undefined : (policy?.debug ?? false),
  };
}

function claimsOfLock(platform: LockedPlatform | undefined): DocumentClaims {
  if (platform === undefined) return {};
  const { svn, debug, familyId, imageId } = platform;
  const bytes = (text: string): Uint8Array => Buffer.from(text, 'hex');
  const hasIdentity = familyId !== undefined && imageId !== undefined;
  return {
    guestSvn: svn,
    debugEnabled: debug,
    identity: hasIdentity ? { familyId: bytes(familyId), imageId: bytes(imageId) } : undefined,
  };
}

function lockedPlatform(
  guest: DescribedGuest,
  { initializations }: IgvmFile,
  documented: DocumentedGuest | undefined,
  claims: DocumentClaims,
  launches: readonly Launch[],
): LockedPlatform {
  const { platform, header, policy, digests } = guest;
  const documents = documented && guestDocuments(documented, claims);
  const { identity } = claims;
  const hasIdentity = platform === 'snp' && identity !== undefined;
  const isCorim = (each: (typeof initializations)[number]): boolean =>
    each.type === 'corimDocument' && (each.compatibilityMask & header.compatibilityMask) !== 0;
  return {
    debug: documented?.debugEnabled ?? (platform === 'vbs' && (claims.debugEnabled ?? false)),
    ...(documents === undefined ? {} : { svn: claims.guestSvn }),
    ...(hasIdentity ? { familyId: hexOf(identity.familyId), imageId: hexOf(identity.imageId) } : {}),
    ...(policy === undefined ? {} : { [policy.name]: policy.fields }),
    highestVtl: header.highestVtl,
    sharedGpaBoundary: hex(header.sharedGpaBoundary),
    ...(platform === undefined
      ? {}
      : { algorithm: MEASURED_PLATFORMS[platform].algorithm, digests: lockedDigests(digests, launches) }),
    ...(documents === undefined
      ? {}
      : { documents: lockedDocuments(documents), corimInImage: initializations.some(isCorim) }),
    headers: Object.fromEntries(otherHeaders(guest)),
    registers: Object.fromEntries(guest.registers),
    regions: guest.regions.map(lockedRegion),
  };
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Each digest once, with all of the covered launches that result in it. */
function lockedDigests(digests: readonly LaunchedDigest[], launches: readonly Launch[]): LockedDigest[] {
  const counting = new Set(launches.map(launchName));
  const locked = new Map<string, LockedDigest>();
  for (const { digest, launch } of digests) {
    if (launch !== undefined && !counting.has(launchName(launch))) continue;
    const entry = locked.get(digest) ?? { digest };
    locked.set(digest, entry);
    if (launch !== undefined) (entry.launches ??= []).push(launchRequest(launch));
  }
  return [...locked.values()];
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const lockedDocuments = ({ corim, identity, idBlock }: GuestDocuments): LockedDocuments => ({
  corim: sha256(corim),
  identity: sha256(identity),
  ...(idBlock === undefined ? {} : { idBlock: sha256(idBlock) }),
});

/** Documents of a measured platform, to which signers add theirs. checkDocuments compares them. */
const DOCUMENTS = /^(?:corimDocument|corimSignature|snpIdBlock)( |$)/;

/** The headers, except for those with their own fields in the lock. A second policy is kept, as it would be lost otherwise. */
const otherHeaders = ({ platform, policy, headers }: DescribedGuest): Facts =>
  new Map(
    [...headers].filter(([what], index) => {
      if (index === 0) return false;
      if (what === 'guestPolicy') return policy === undefined;
      return platform === undefined || !DOCUMENTS.test(what);
    }),
  );

function lockedRegion({ gpa, end, kind, marks, tags, sha256: contents, isMeasured }: DescribedRegion): LockedRegion {
  const [tag] = tags;
  return {
    gpa: hex(gpa),
    size: hex(end - gpa),
    kind,
    ...(marks.length === 0 ? {} : { marks }),
    measured: isMeasured,
    ...(tag === undefined ? {} : { tag }),
    ...(contents === undefined ? {} : { sha256: contents }),
  };
}
