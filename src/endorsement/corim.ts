import type { MeasuredPlatform } from '../igvm/platforms';
import { IgvmError } from '../errors/igvm-error';
import { type CborValue, cborMap, cborTag, decodeCbor, encodeCbor, isCborTag } from './cbor';

/** Profile of the documents (the igvm crate, corim/launch_measurement/profile.rs). */
const PROFILE_URI = 'tag:microsoft.com,2026:launch-measurement/v1';

/** CBOR tags of draft-ietf-rats-corim: a CoRIM, a CoMID inside it, an exact security version. */
const TAG = { corim: 501, comid: 506, exactSvn: 552 } as const;

/** Algorithms of the IANA "Named Information" registry. */
const DIGEST_ALGORITHM = { sha256: 1, sha384: 7 } as const;

interface PlatformProfile {
  vendor: string;
  model: string;
  /** Name of the measurement in the platform's evidence. */
  measurementKey: string;
  algorithm: number;
  /** Bytes. */
  digestSize: number;
  /** UUIDv5 of "vendor/model" in the profile's namespace, 85f3f1c2-22a8-441e-a1b9-bccfb63ed5f7. */
  tagId: string;
}

/** Name of the documents for a platform. */
const documentId = ({ vendor, model }: PlatformProfile): string => `${vendor}/${model}/launch-measurement`;

const PROFILES: Record<MeasuredPlatform, PlatformProfile> = {
  snp: {
    vendor: 'AMD',
    model: 'SEV-SNP',
    measurementKey: 'MEASUREMENT',
    algorithm: DIGEST_ALGORITHM.sha384,
    digestSize: 48,
    tagId: '77e8061e-4634-5e53-a848-d1d09e996843',
  },
  tdx: {
    vendor: 'Intel',
    model: 'TDX',
    measurementKey: 'MRTD',
    algorithm: DIGEST_ALGORITHM.sha384,
    digestSize: 48,
    tagId: 'e0510081-7b78-5b2a-97a6-d73d890e07b6',
  },
  vbs: {
    vendor: 'Microsoft',
    model: 'VBS',
    measurementKey: 'MEASUREMENT',
    algorithm: DIGEST_ALGORITHM.sha256,
    digestSize: 32,
    tagId: '2e29068e-e0fa-59e6-b0ff-3bfe09132e13',
  },
};

/**
 * A CoRIM that endorses a launch digest: one CoMID with the digest as reference value, and a series that endorses the security version
 * `guestSvn` (u32) for a guest with this digest.
 */
export function corimDocument(platform: MeasuredPlatform, digest: Uint8Array, guestSvn: number): Uint8Array {
  const { vendor, model, measurementKey, algorithm, tagId } = PROFILES[platform];
  const environment = cborMap([0, cborMap([1, vendor], [2, model])]);
  const digests: CborValue = [[algorithm, new Uint8Array(digest)]];
  const measurement = cborMap([0, measurementKey], [1, cborMap([2, digests])]);
  const svn = cborMap([1, cborMap([1, cborTag(TAG.exactSvn, guestSvn)])]);
  const comid = cborMap(
    [1, cborMap([0, tagId])],
    [
      4,
      cborMap(
        // Reference values: the expected digest in this environment.
        [0, [[environment, [measurement]]]],
        // Conditional endorsement series: the security version in this environment and with this digest.
        [8, [[[environment, []], [[[measurement], [svn]]]]]],
      ),
    ],
  );
  const corim = cborMap(
    [0, documentId(PROFILES[platform])],
    [1, [cborTag(TAG.comid, encodeCbor(comid))]],
    [3, PROFILE_URI],
  );
  return encodeCbor(cborTag(TAG.corim, corim));
}

/** The contents of a CoRIM for the guest of one platform. */
export interface ReferencedGuest {
  platform: MeasuredPlatform;
  /** All launch digests to endorse. */
  digests: readonly Uint8Array[];
  /** u32; undefined if no security version is endorsed. */
  guestSvn: number | undefined;
}

/**
 * A CoRIM with the digests of all launches of an image's guests: a CoMID for each platform, with a reference value for each digest, and
 * the security version. It names no profile, which is optional. The draft requires a tagged URI for a profile, and veraison's reader refuses
 * an untagged one. The corim crate refuses a tagged one, because igvmfilegen's documents ({@link corimDocument}) have no tag. Both accept a
 * document without a profile.
 * @param name the name of the image, which distinguishes the documents of different images
 */
export function corimOfGuests(name: string, guests: readonly ReferencedGuest[]): Uint8Array {
  const comids = guests.map(({ platform, digests, guestSvn }) => {
    const profile = PROFILES[platform];
    const environment = cborMap([0, cborMap([1, profile.vendor], [2, profile.model])]);
    const measurements = digests.map((digest): CborValue => {
      const values: CborValue = [[profile.algorithm, new Uint8Array(digest)]];
      return cborMap([0, profile.measurementKey], [1, cborMap([2, values])]);
    });
    const references: CborValue = measurements.map((measurement) => [environment, [measurement]]);
    const series = (svn: CborValue): CborValue => [
      [[environment, []], measurements.map((measurement) => [[measurement], [svn]])],
    ];
    const svn = guestSvn === undefined ? undefined : cborMap([1, cborMap([1, cborTag(TAG.exactSvn, guestSvn)])]);
    const triples: [number, CborValue][] = [
      [0, references],
      ...(svn === undefined ? [] : [[8, series(svn)] as [number, CborValue]]),
    ];
    return cborTag(
      TAG.comid,
      encodeCbor(cborMap([1, cborMap([0, `${documentId(profile)}/${name}`])], [4, cborMap(...triples)])),
    );
  });
  return encodeCbor(cborTag(TAG.corim, cborMap([0, `${name}/launch-measurements`], [1, comids])));
}

/** The size of a document in bytes, which doesn't depend on the digest. */
export const corimDocumentSize = (platform: MeasuredPlatform, guestSvn: number): number =>
  corimDocument(platform, new Uint8Array(PROFILES[platform].digestSize), guestSvn).length;

/** Whether a file is a CoRIM of the kind that {@link corimDocument} makes for the platform, without a signature. */
export function isCorimDocument(bytes: Uint8Array, platform: MeasuredPlatform): boolean {
  try {
    const document = decodeCbor(bytes, 'the CoRIM');
    if (!isCborTag(document) || document.tag !== TAG.corim || !(document.value instanceof Map)) return false;
    const fields = document.value;
    return fields.get(0) === documentId(PROFILES[platform]) && fields.get(3) === PROFILE_URI;
  } catch (error) {
    if (error instanceof IgvmError) return false;
    throw error;
  }
}

/**
 * The security version that a CoRIM of this kind endorses; undefined for anything else. The rest of the document is not checked: to trust
 * it, generate the document again and compare.
 */
export function corimSvn(bytes: Uint8Array): number | undefined {
  try {
    const comid = untagged(memberOf(untagged(decodeCbor(bytes, 'the CoRIM')), 1, 0));
    if (!(comid instanceof Uint8Array)) return undefined;
    const svn = untagged(memberOf(decodeCbor(comid, 'the CoMID'), 4, 8, 0, 1, 0, 1, 0, 1, 1));
    return typeof svn === 'number' && svn >= 0 && svn < 2 ** 32 ? svn : undefined;
  } catch (error) {
    if (error instanceof IgvmError) return undefined;
    throw error;
  }
}

const untagged = (value: CborValue): CborValue => (isCborTag(value) ? value.value : value);

/** The value at a path of map keys and array indices. */
const memberOf = (value: CborValue, ...path: number[]): CborValue =>
  path.reduce<CborValue>((outer, step) => {
    if (outer instanceof Map) return outer.get(step);
    return Array.isArray(outer) ? outer[step] : undefined;
  }, value);
