import { createHash } from 'node:crypto';
import { digestHex } from '../errors/printable';
import { withImage } from '../files/igvm-image';
import { launchPolicy } from '../image/policy';
import type { Directive, IgvmFile } from '../igvm/model';
import { readLock } from '../lock/lock-file';
import type { LockedPlatform } from '../lock/lock-schema';
import { DEFAULT_LAUNCH, type Launch, launchesOf, launchLabel } from '../measurement/launches';
import { searchLaunches } from './launch-search';
import { measureLaunches } from '../measurement/measure';
import { MEASURED_PLATFORMS, measuredPlatformOf } from '../igvm/platforms';

/** Platforms whose evidence can be verified. */
export type EvidencePlatform = 'snp' | 'tdx';

/** An expected launch digest, and its launch. */
export interface ExpectedDigest {
  /** Upper-case hexadecimal. */
  digest: string;
  /** For people: `QEMU with KVM, 2 vCPUs, EPYC-Milan`; undefined if the digest doesn't depend on the launch. */
  launch: string | undefined;
  /** Why the VMM of that launch would refuse the file. Then the evidence is from another file with the same pages. */
  refusal?: string | undefined;
}

/** The fields in reports of a guest that was launched with an ID block. */
export interface ExpectedIdentity {
  familyId?: string;
  imageId?: string;
  svn?: number;
  /** SHA-384 of keys in the form of the firmware, lower-case hexadecimal. */
  idKeyDigest?: string;
  authorKeyDigest?: string;
}

/** The expected evidence from a guest of a build. */
export interface Expectations {
  /** The lock or the image, for messages. */
  source: string;
  /** The digests of the build; none if there is no guest for the platform. */
  digests: ExpectedDigest[];
  /** Whether the source is an image, whose launches were searched. */
  isImage: boolean;
  /** Other launches of the image with the measurement of the evidence, which explain why it isn't expected. */
  others: ExpectedDigest[];
  /** Why there is nothing to compare with, and the guests that exist. */
  missing: string | undefined;
  /** The guest policy of SEV-SNP, or the attributes of TDX, if known. */
  policy: bigint | undefined;
  /** Whether the host may debug the guest. */
  debug: boolean;
  identity: ExpectedIdentity;
  /** Whether the image has an ID block, so that each of its launches has one. */
  hasIdBlock: boolean;
}

/** The expectations from a lock for a platform. @throws IgvmError LOCK_MISSING, LOCK_INVALID and others of `readLock` */
export function expectationsOfLock(path: string, display: string, platform: EvidencePlatform): Expectations {
  const lock = readLock(path, display);
  const locked = lock.platforms[platform];
  if (locked === undefined) {
    const present = Object.keys(lock.platforms).join(', ');
    const { label } = MEASURED_PLATFORMS[platform];
    return { ...NOTHING, source: display, missing: `${display} has no ${label} guest (it has: ${present || 'none'})` };
  }
  const policy = (platform === 'snp' ? locked.policy : locked.attributes)?.['value'];
  return {
    source: display,
    isImage: false,
    digests: digestsOfLock(locked),
    others: [],
    missing: undefined,
    policy: typeof policy === 'string' ? BigInt(policy) : undefined,
    debug: locked.debug,
    identity: { familyId: locked.familyId, imageId: locked.imageId, svn: locked.svn },
    hasIdBlock: false,
  };
}

const NOTHING: Omit<Expectations, 'source' | 'missing'> = {
  isImage: false,
  digests: [],
  others: [],
  policy: undefined,
  debug: false,
  identity: {},
  hasIdBlock: false,
};

const digestsOfLock = ({ digests = [] }: LockedPlatform): ExpectedDigest[] =>
  digests.flatMap(({ digest, launches }): ExpectedDigest[] =>
    launches === undefined
      ? [{ digest: digest.toUpperCase(), launch: undefined }]
      : launches.flatMap(launchesOf).map((launch) => ({ digest: digest.toUpperCase(), launch: launchLabel(launch) })),
  );

/** The facts in evidence that are searched for in an image. */
export interface Looked {
  /** 48 bytes. */
  measurement: Uint8Array;
  /** The signature of the processor in the evidence: CPUID leaf 1, EAX. */
  signature?: number | undefined;
}

/**
 * The expectations from an image for a platform, and its launches with the measurement of the evidence.
 * @param launches the expected ones. Default: all that have the measurement
 * @throws IgvmError as `withImage`, `measureLaunches` and `searchLaunches`
 */
export function expectationsOfImage(
  path: string,
  display: string,
  platform: EvidencePlatform,
  launches: readonly Launch[] | undefined,
  looked: Looked,
): Promise<Expectations> {
  return withImage(path, async ({ file }) => {
    const header = file.platforms.find((each) => measuredPlatformOf(each) === platform);
    if (header === undefined) {
      const { label } = MEASURED_PLATFORMS[platform];
      return { ...NOTHING, source: display, missing: `${display} has no ${label} guest` };
    }
    const found = platform === 'snp' ? await recognized(file, looked) : [];
    const isLoaded = ({ refusal }: ExpectedDigest): boolean => refusal === undefined;
    const named =
      launches === undefined && platform === 'snp' ? found.filter(isLoaded) : await digestsOf(file, platform, launches);
    const policy = launchPolicy(file, header);
    return {
      source: display,
      isImage: true,
      digests: named,
      others: found.filter((each) => !named.some(({ launch }) => launch === each.launch)),
      missing: undefined,
      policy: policy === undefined ? undefined : BigInt(policy.fields['value'] as string),
      debug: policy?.debug ?? false,
      ...identityInImage(file, header.compatibilityMask),
    };
  });
}

/** The launches with a measurement. */
async function recognized(file: IgvmFile, { measurement, signature }: Looked): Promise<ExpectedDigest[]> {
  const { found } = await searchLaunches(file, measurement, signature);
  const digest = digestHex(measurement);
  return found.map(({ launch, refusals: [refusal] }) => ({ digest, launch: launchLabel(launch), refusal }));
}

async function digestsOf(
  file: IgvmFile,
  platform: EvidencePlatform,
  launches: readonly Launch[] = [],
): Promise<ExpectedDigest[]> {
  const wanted = platform === 'snp' ? launches : [DEFAULT_LAUNCH];
  const { measurements } = await measureLaunches(file, { platforms: [platform], launches: wanted });
  return measurements.map(({ digest, launch }) => ({
    digest: digestHex(digest),
    launch: launch && launchLabel(launch),
  }));
}

type IdBlock = Extract<Directive, { type: 'snpIdBlock' }>;

export function identityInImage({ directives }: IgvmFile, mask: number): Pick<Expectations, 'identity' | 'hasIdBlock'> {
  const block = directives.find(
    (each): each is IdBlock => each.type === 'snpIdBlock' && (each.compatibilityMask & mask) !== 0,
  );
  if (block === undefined) return { identity: {}, hasIdBlock: false };
  const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  return {
    hasIdBlock: true,
    identity: {
      familyId: hexOf(block.familyId),
      imageId: hexOf(block.imageId),
      svn: block.guestSvn,
      idKeyDigest: firmwareKeyDigest(block.idPublicKey),
      ...(block.authorKeyEnabled ? { authorKeyDigest: firmwareKeyDigest(block.authorPublicKey) } : {}),
    },
  };
}

/** SHA-384 over a key as the firmware holds it: curve, x and y of 72 bytes, little-endian, and zeros up to 1,028 bytes (SEV-SNP firmware ABI 1.58, ID_AUTH_INFO). */
export function firmwareKeyDigest({ curve, qx, qy }: IdBlock['idPublicKey']): string {
  const bytes = Buffer.alloc(0x404);
  bytes.writeUInt32LE(curve, 0);
  bytes.set(qx.subarray(0, 72), 4);
  bytes.set(qy.subarray(0, 72), 76);
  return createHash('sha384').update(bytes).digest('hex');
}
