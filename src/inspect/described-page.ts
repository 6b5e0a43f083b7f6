import { basename, isAbsolute } from 'node:path';
import { checkDocuments, claimsOfDocuments, type DocumentClaims } from '../endorsement/image-documents';
import { IgvmError } from '../errors/igvm-error';
import type { IgvmFile } from '../igvm/model';
import { type DescribedGuest, type DescribedImage, describeImage } from '../image/described-image';
import type { LockDifference } from '../lock/compare-locks';
import { documentedGuest } from '../lock/lock-of-image';
import { compareWithLock } from '../lock/verify-image';
import type { TaggedRange } from '../regions/image-map';
import type { ByteSource } from '../memory/byte-source';
import { FileDigest } from './file-digest';
import { type KernelVersion, KernelVersions } from './kernel-versions';

/** A lock to compare the image with. */
export interface PageLock {
  path: string;
  /** If the file doesn't exist, the page says so instead of failing. */
  isOptional: boolean;
}

/** How an image compares with its lock. */
export interface Agreement {
  /** The name of the lock on the page. */
  lock: string;
  /** Why nothing could be compared. There are no differences then. */
  impossible?: string;
  /** Short names of the platforms that the lock has. */
  platforms: readonly string[];
  differences: readonly LockDifference[];
  /** What is wrong with documents, one sentence each. */
  complaints: readonly string[];
}

/** A guest, and the claims of documents about it. */
export interface PageGuest extends DescribedGuest {
  /** The claims of the documents in the image and beside it. The complaints name those that are wrong. */
  claims: DocumentClaims;
  complaints: readonly string[];
  signers: readonly string[];
  kernels: readonly KernelVersion[];
}

/** Everything that the page says about an image and its guests. */
export interface DescribedPage {
  /** SHA-256 of the file, lower-case hexadecimal. */
  sha256: string;
  guests: PageGuest[];
  /** Undefined unless a lock was asked for. */
  agreement?: Agreement;
}

/** Further sources of the page. */
export interface PageSources {
  /** Path of the image, to find the documents beside it. Undefined: there are none. */
  image?: string;
  /** Tagged ranges of each guest, in the order of the platform headers. */
  map?: readonly (readonly TaggedRange[])[];
  lock?: PageLock;
  /** How the page names a path. */
  display?: (path: string) => string;
}

/**
 * Describes an image for its page and compares it with its lock, in one pass over its data.
 * @throws IgvmError LOCK_INVALID; LOCK_MISSING unless the lock is optional; FILE_CHANGED, FILE_UNREADABLE
 */
export async function describePage(
  { file, source }: { file: IgvmFile; source: ByteSource },
  sources: PageSources,
): Promise<DescribedPage> {
  const { image, map, lock, display = String } = sources;
  const digest = new FileDigest(source, file.directives);
  let seen: { described: DescribedImage; kernels: KernelVersions } | undefined;
  const describe: typeof describeImage = async (of, tags, launches, options) => {
    const kernels = new KernelVersions();
    const described = await describeImage(of, tags, launches, {
      ...options,
      observers: [kernels, digest],
      describeImpossible: true,
    });
    seen = { described, kernels };
    // A lock needs all digests of an image. The page shows those that exist.
    const impossible = described.guests.find((guest) => guest.impossible !== undefined)?.impossible;
    if (impossible !== undefined) throw impossible;
    return described;
  };
  const agreement =
    lock === undefined || image === undefined
      ? undefined
      : await agreementWith(file, { image, lock: lock.path, display }, lock, describe);
  if (seen === undefined) {
    await describe(file, map).catch((error: unknown) => {
      if (!isImpossible(error)) throw error;
    });
  }
  const { guests = [] } = seen?.described ?? {};
  return {
    sha256: digest.end(),
    agreement,
    guests: guests.map((guest) => ({
      ...guest,
      ...documentsOf(guest, file, image),
      kernels: (seen?.kernels.found ?? []).filter(
        ({ compatibilityMask }) => (compatibilityMask & guest.header.compatibilityMask) !== 0,
      ),
    })),
  };
}

const isImpossible = (error: unknown): error is IgvmError =>
  error instanceof IgvmError && (error.code === 'MEASUREMENT_IMPOSSIBLE' || error.code === 'PAGES_OVERLAP');

async function agreementWith(
  file: IgvmFile,
  request: { image: string; lock: string; display: (path: string) => string },
  { isOptional }: PageLock,
  describe: typeof describeImage,
): Promise<Agreement> {
  const shown = request.display(request.lock);
  // The page has to be the same on every machine.
  const lock = isAbsolute(shown) ? basename(shown) : shown;
  const nothing = { lock, platforms: [], differences: [], complaints: [] };
  try {
    return { ...nothing, ...(await compareWithLock(file, request, describe)) };
  } catch (error) {
    const isMissing = error instanceof IgvmError && error.code === 'LOCK_MISSING' && isOptional;
    if (isMissing) return { ...nothing, impossible: 'there is no lock' };
    if (!isImpossible(error)) throw error;
    return { ...nothing, impossible: error.message };
  }
}

function documentsOf(
  guest: DescribedGuest,
  file: IgvmFile,
  image: string | undefined,
): Pick<PageGuest, 'claims' | 'complaints' | 'signers'> {
  const documented = documentedGuest(guest, file, image);
  if (documented === undefined) return { claims: {}, complaints: [], signers: [] };
  const claims = claimsOfDocuments(documented);
  return { claims, ...checkDocuments(documented, claims) };
}
