import { createHash } from 'node:crypto';
import { withImage } from '../files/igvm-image';
import { launchPolicy } from '../image/policy';
import type { Directive, IgvmFile } from '../igvm/model';
import { readLock } from '../lock/lock-file';
import type { LockedPlatform } from '../lock/model';
import { CPU_MODEL_NAMES } from '../measurement/kvm-vmsa';
import { DEFAULT_LAUNCH, digestHex, type Launch, launchesOf, launchLabel, launchName } from '../measurement/launches';
import { measureLaunches } from '../measurement/measure';
import { MEASURED_PLATFORMS, measuredPlatformOf } from '../igvm/isolation';
import { vmmProfile } from '../measurement/vmm-profiles';
import { VMM_NAMES } from '../manifest/model';

/** Platforms whose guests give evidence that is verified here. */
export type EvidencePlatform = 'snp' | 'tdx';

/** A launch digest that evidence may have, and the launch that gives it. */
export interface ExpectedDigest {
  /** Upper-case hexadecimal. */
  digest: string;
  /** For people: `QEMU with KVM, 2 vCPUs, EPYC-Milan`; undefined where the digest doesn't depend on the launch. */
  launch: string | undefined;
}

/** What a guest launched with an ID block has in its reports. */
export interface ExpectedIdentity {
  familyId?: string;
  imageId?: string;
  svn?: number;
  /** SHA-384 of keys as the firmware computes it, lower-case hexadecimal. */
  idKeyDigest?: string;
  authorKeyDigest?: string;
}

/** What evidence of a build's guest has to say. */
export interface Expectations {
  /** For messages: the lock or the image. */
  source: string;
  /** Digests that are ours; none when there is no guest for the platform. */
  digests: ExpectedDigest[];
  /** Digests that the image has with other launches: they explain what isn't ours. */
  others: ExpectedDigest[];
  /** Why there is nothing to compare with; the guests that there are. */
  missing: string | undefined;
  /** The guest policy of SEV-SNP, the attributes of TDX; undefined where nothing says so. */
  policy: bigint | undefined;
  /** Whether the host may debug the guest. */
  debug: boolean;
  identity: ExpectedIdentity;
  /** Whether the image holds an ID block, so that each launch of it has one. */
  hasIdBlock: boolean;
}

/** vCPUs up to which a launch is recognized. */
const MOST_RECOGNIZED_VCPUS = 256;

/** Every launch that a digest is recognized of: each VMM, with each count and processor model that its digest depends on. */
function recognizedLaunches(): Launch[] {
  const vcpus = Array.from({ length: MOST_RECOGNIZED_VCPUS }, (_, index) => index + 1);
  return VMM_NAMES.flatMap((vmm) => {
    const { takes } = vmmProfile(vmm);
    const cpu = takes.cpu ? { cpu: [...CPU_MODEL_NAMES] } : {};
    if (!takes.vcpus) return launchesOf({ vmm });
    return [...launchesOf({ vmm, vcpus, ...cpu }), ...launchesOf({ vmm, vcpus: [1], ...cpu, kvmMode: 'bsp-only' })];
  });
}

/** What the lock says of the guest for a platform. @throws IgvmError LOCK_MISSING, LOCK_INVALID and others of `readLock` */
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

/**
 * What an image says of its guest for a platform; reads its pages once.
 * @param launches that are ours. Default: every one that is recognized
 * @throws IgvmError as `withImage` and `measureLaunches`
 */
export function expectationsOfImage(
  path: string,
  display: string,
  platform: EvidencePlatform,
  launches: readonly Launch[] | undefined,
): Promise<Expectations> {
  return withImage(path, async ({ file }) => {
    const header = file.platforms.find((each) => measuredPlatformOf(each) === platform);
    if (header === undefined) {
      const { label } = MEASURED_PLATFORMS[platform];
      return { ...NOTHING, source: display, missing: `${display} has no ${label} guest` };
    }
    const all = new Map(
      [DEFAULT_LAUNCH, ...(launches ?? []), ...(platform === 'snp' ? recognizedLaunches() : [])].map((launch) => [
        launchName(launch),
        launch,
      ]),
    );
    const { measurements } = await measureLaunches(file, { platforms: [platform], launches: [...all.values()] });
    const wanted = new Set(launches?.map(launchName));
    const measured = measurements.map(({ digest, launch }) => ({
      isOurs: launches === undefined || launch === undefined || wanted.has(launchName(launch)),
      expected: { digest: digestHex(digest), launch: launch && launchLabel(launch) },
    }));
    const policy = launchPolicy(file, header);
    return {
      source: display,
      digests: measured.flatMap(({ isOurs, expected }) => (isOurs ? [expected] : [])),
      others: measured.flatMap(({ isOurs, expected }) => (isOurs ? [] : [expected])),
      missing: undefined,
      policy: policy === undefined ? undefined : BigInt(policy.fields['value'] as string),
      debug: policy?.debug ?? false,
      ...identityInImage(file, header.compatibilityMask),
    };
  });
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
