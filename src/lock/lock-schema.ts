/** The schema of igvm.lock.json. Validation and the JSON Schema for editors both come from it. */
import * as z from 'zod/mini';
import { MEASURED_PLATFORM_NAMES, MEASURED_PLATFORMS, platformOf } from '../igvm/platforms';
import { PLATFORM_TYPE, type PlatformType } from '../igvm/model';
import { type PolicyFields, policyNames } from '../image/policy';
import { KVM_MODE_MEANINGS, type LaunchRequest, VMM_MEANINGS } from '../manifest/model';
import {
  closedStruct,
  count,
  flag,
  list,
  oneOfNumbers,
  optional,
  patternText,
  record,
  someOf,
  struct,
  text,
  u32,
  word,
} from '../manifest/schema-parts';
import type { RegionKind } from '../regions/guest-regions';

/** Version of the format that is written and read. */
export const LOCK_VERSION = 2;

const hex = (description: string) => patternText(/^0x[0-9a-f]{1,16}$/, 'a hexadecimal number like "0x1f"', description);
const sha256 = (description: string) => patternText(/^[0-9a-f]{64}$/, '64 lower-case hexadecimal digits', description);
const id = (description: string) => patternText(/^[0-9a-f]{32}$/, '32 lower-case hexadecimal digits', description);

const KINDS = {
  data: 'Pages with content from the image.',
  empty: 'Pages of zeros, for which the image has no content.',
  unmeasured: 'Pages whose content the launch digest does not cover.',
  shared: 'Pages that the host can read and write.',
  secrets: "The page into which the SEV-SNP firmware puts the guest's keys.",
  cpuid: 'The page with CPUID values that the firmware checks.',
  parameters: 'Areas that the VMM fills in.',
  vpContext: 'The initial state of a processor.',
};

const region = closedStruct(
  {
    gpa: hex('Guest address of the first byte.'),
    size: hex('Size in bytes.'),
    kind: word(KINDS, 'How the launch treats the pages.'),
    marks: optional(
      list(text('The name of a flag or page type in the format.'), 'Further properties in the headers of its pages.'),
    ),
    measured: flag('Whether the launch digest covers its contents.'),
    tag: optional(text('Its name in the map file.')),
    sha256: optional(sha256('SHA-256 of its contents.')),
  },
  'Adjacent pages that belong together.',
);

const facts = (description: string) => record(text('A fact, as "nx-igvm diff" prints it.'), description);

/** Hexadecimal digits of a digest. */
const DIGITS = { 'SHA-256': 64, 'SHA-384': 96 } as const;

const launch = closedStruct(
  {
    vmm: word(VMM_MEANINGS, 'The VMM that launches the guest.'),
    vcpus: optional(
      someOf(
        count({ min: 1n, max: 4096n }, 'A vCPU count.'),
        'at least one count',
        'The vCPU counts that result in this digest.',
      ),
    ),
    cpu: optional(
      someOf(
        text('A processor model or signature.'),
        'at least one processor',
        'The processors that result in this digest.',
      ),
    ),
    kvmMode: optional(word(KVM_MODE_MEANINGS, 'Whose VMSAs KVM measures. Default: those of all vCPUs.')),
  },
  'How the guest is launched.',
);

const digest = (digits: number, dependsOnVmm: boolean) => {
  const launches = someOf(launch, 'at least one launch', 'The launches that result in this digest.');
  return closedStruct(
    {
      digest: patternText(
        new RegExp(`^[0-9A-F]{${digits}}$`),
        `${digits} upper-case hexadecimal digits`,
        'The expected launch digest.',
      ),
      ...(dependsOnVmm ? { launches } : {}),
    },
    'A launch digest.',
  );
};

/** The further fields of a measured platform. It needs a digest: without one, any image would match the lock. */
function measured(name: (typeof MEASURED_PLATFORM_NAMES)[number]) {
  const { algorithm, dependsOnVmm } = MEASURED_PLATFORMS[name];
  return {
    svn: optional(u32('Security version in the documents about the guest.')),
    ...(name === 'snp'
      ? {
          familyId: optional(id('Family ID in the ID block.')),
          imageId: optional(id('Image ID in the ID block.')),
        }
      : {}),
    algorithm: z
      .literal(algorithm, { error: () => `"${algorithm}"` })
      .register(z.globalRegistry, { description: 'Hash algorithm of the launch digests.' }),
    digests: someOf(
      digest(DIGITS[algorithm], dependsOnVmm),
      'at least one launch digest',
      'The expected launch digests, each once.',
    ),
    documents: optional(
      closedStruct(
        {
          corim: sha256('SHA-256 of the CoRIM document.'),
          identity: sha256('SHA-256 of the identity document.'),
          ...(name === 'snp' ? { idBlock: optional(sha256('SHA-256 of the ID block that is to be signed.')) } : {}),
        },
        'The documents about the guest. They follow from the digest, the security version and the fields above.',
      ),
    ),
    corimInImage: optional(flag('Whether the image contains its CoRIM document.')),
  };
}

function policyOf(type: PlatformType) {
  const format = policyNames(type);
  if (format === undefined) return {};
  const fields = format.fields.map((name) => {
    if (name === 'value') return [name, hex('The whole value.')] as const;
    if (name === 'abi')
      return [name, text('The lowest version of the firmware ABI that may launch the guest.')] as const;
    return [name, flag(format.meanings[name]!)] as const;
  });
  return {
    [format.name]: optional(closedStruct(Object.fromEntries(fields), 'The launch policy, field by field.')),
  };
}

function platform(type: PlatformType) {
  const { name = '' } = platformOf(type) ?? {};
  const own = MEASURED_PLATFORM_NAMES.find((each) => each === name);
  return closedStruct(
    {
      debug: flag('Whether the host may debug the guest, and so read its memory.'),
      ...policyOf(type),
      highestVtl: oneOfNumbers(
        { 0: 'The guest alone.', 2: 'A paravisor above its guest.' },
        'The highest VTL that the guest uses.',
      ),
      sharedGpaBoundary: hex('Address above which memory is visible to the host; 0x0 if there is none.'),
      ...(own === undefined ? {} : measured(own)),
      headers: facts('Other facts in the headers, such as required memory and parameters.'),
      registers: facts('The initial registers of its processors.'),
      regions: list(region, 'Its memory, in regions by ascending address.'),
    },
    'The expected guest of a platform. The image has to match every field.',
  );
}

export const lockSchema = struct({
  $schema: optional(text('The JSON Schema of this file, for editors.')),
  lockVersion: count({ min: BigInt(LOCK_VERSION), max: BigInt(LOCK_VERSION) }, 'Version of this format.'),
  file: facts('Facts about the file itself, and facts that belong to no particular guest.'),
  platforms: closedStruct(
    Object.fromEntries(
      Object.values(PLATFORM_TYPE).map((type) => [platformOf(type)?.name ?? '', optional(platform(type))]),
    ),
    'All platforms of the image.',
  ),
}).register(z.globalRegistry, {
  title: 'Measurement lock',
  description:
    'The expected contents and launch digests of an IGVM image. "nx run PROJECT:measure --update-lock" writes it, the target "verify" checks it, and people review it.',
});

/** How a guest is launched, as far as its digest depends on that: each vCPU count with each processor. */
export type LockedLaunch = LaunchRequest;

/** A launch digest, and the launches that result in it. */
export interface LockedDigest {
  /** Upper-case hexadecimal. */
  digest: string;
  /** Absent if the digest doesn't depend on the launch. */
  launches?: LockedLaunch[];
}

/** Adjacent pages of a guest that belong together. */
export interface LockedRegion {
  /** Address in hexadecimal, with 0x. */
  gpa: string;
  /** Bytes in hexadecimal, with 0x. */
  size: string;
  kind: RegionKind;
  /** Further properties in the headers of its pages. */
  marks?: string[];
  /** Whether the launch digest covers the contents. */
  measured: boolean;
  /** Its name in the map file. */
  tag?: string;
  /** SHA-256 of its contents. */
  sha256?: string;
}

/** SHA-256 of the documents about a guest, in lower-case hexadecimal. A signer gets these documents. */
export interface LockedDocuments {
  corim: string;
  identity: string;
  idBlock?: string;
}

/** The expected guest of one platform. An image has to match every field. */
export interface LockedPlatform {
  /** Whether the host may debug the guest. */
  debug: boolean;
  /** Security version; absent for an image that no document endorses. */
  svn?: number;
  /** Identity in the ID block, in hexadecimal; absent without an ID block. */
  familyId?: string;
  imageId?: string;
  /** SEV-SNP only. */
  policy?: PolicyFields;
  /** TDX only. */
  attributes?: PolicyFields;
  highestVtl: number;
  /** Hexadecimal, with 0x. */
  sharedGpaBoundary: string;
  /** Hash algorithm of the digests; absent if there are none. */
  algorithm?: string;
  /** Absent for a platform without launch measurement. */
  digests?: LockedDigest[];
  documents?: LockedDocuments;
  /** Whether the image contains its CoRIM; absent without documents. */
  corimInImage?: boolean;
  headers: Record<string, string>;
  registers: Record<string, string>;
  regions: LockedRegion[];
}

/** The expected contents and launch digests of an image, as in igvm.lock.json. */
export interface MeasurementLock {
  $schema?: string;
  lockVersion: number;
  /** Facts about the file itself. */
  file: Record<string, string>;
  /** All platforms of the file by their short names, measured or not. */
  platforms: Record<string, LockedPlatform>;
}
