/** igvm.lock.json, once: validation and the JSON Schema for editors come from here. */
import * as z from 'zod/mini';
import { MEASURED_PLATFORM_NAMES, MEASURED_PLATFORMS } from '../igvm/isolation';
import { PLATFORM_TYPE, type PlatformType } from '../igvm/model';
import { platformOf } from '../igvm/platforms';
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
  data: 'Pages with content of the image.',
  empty: 'Pages of zeros, which the image has no content for.',
  unmeasured: 'Pages whose content the launch digest leaves out.',
  shared: 'Pages that the host can read and write.',
  secrets: "The page in which SEV-SNP's firmware puts the guest's keys.",
  cpuid: 'The page with the CPUID values that the firmware has checked.',
  parameters: 'Areas that the VMM fills.',
  vpContext: 'What a processor starts with.',
};

const region = closedStruct(
  {
    gpa: hex('Address of the first byte in the guest.'),
    size: hex('Bytes.'),
    kind: word(KINDS, 'What the pages are to the launch.'),
    marks: optional(
      list(text('A flag or type by its name in the format.'), 'What its page headers say besides the kind.'),
    ),
    measured: flag('Whether the launch digest covers its contents.'),
    tag: optional(text("The map file's name for it.")),
    sha256: optional(sha256('Of its contents.')),
  },
  'Adjacent pages that belong together.',
);

const facts = (description: string) => record(text('As nx-igvm diff prints it.'), description);

/** Hexadecimal digits of a digest. */
const DIGITS = { 'SHA-256': 64, 'SHA-384': 96 } as const;

const launch = closedStruct(
  {
    vmm: word(VMM_MEANINGS, 'What launches the guest.'),
    vcpus: optional(
      someOf(
        count({ min: 1n, max: 4096n }, 'A count.'),
        'at least one count',
        'Counts of vCPUs that give this digest.',
      ),
    ),
    cpu: optional(someOf(text('A model or signature.'), 'at least one processor', 'Processors that give this digest.')),
    kvmMode: optional(word(KVM_MODE_MEANINGS, 'Whose VMSAs KVM measures. Without: those of all vCPUs.')),
  },
  'How the guest is launched.',
);

const digest = (digits: number, dependsOnVmm: boolean) => {
  const launches = someOf(launch, 'at least one launch', 'The launches that give this digest.');
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

/** What a measured platform has besides. A platform whose lock has no digest would match whatever the image has. */
function measured(name: (typeof MEASURED_PLATFORM_NAMES)[number]) {
  const { algorithm, dependsOnVmm } = MEASURED_PLATFORMS[name];
  return {
    svn: optional(u32('Security version, as the documents about the guest have it.')),
    ...(name === 'snp'
      ? {
          familyId: optional(id("The guest's family in its ID block.")),
          imageId: optional(id("The guest's image in its ID block.")),
        }
      : {}),
    algorithm: z
      .literal(algorithm, { error: () => `"${algorithm}"` })
      .register(z.globalRegistry, { description: 'Of the launch digests.' }),
    digests: someOf(
      digest(DIGITS[algorithm], dependsOnVmm),
      'at least one launch digest',
      'Expected launch digests, each once.',
    ),
    documents: optional(
      closedStruct(
        {
          corim: sha256('SHA-256 of the CoRIM document.'),
          identity: sha256('SHA-256 of the identity document.'),
          ...(name === 'snp' ? { idBlock: optional(sha256('SHA-256 of the ID block that is to be signed.')) } : {}),
        },
        'The documents about the guest. They follow from digest, security version and the fields above.',
      ),
    ),
    corimInImage: optional(flag('Whether the image holds its CoRIM document.')),
  };
}

function policyOf(type: PlatformType) {
  const format = policyNames(type);
  if (format === undefined) return {};
  const fields = format.fields.map((name) => {
    if (name === 'value') return [name, hex('All of it.')] as const;
    if (name === 'abi') return [name, text("The lowest version of the firmware's ABI.")] as const;
    return [name, flag(format.meanings[name]!)] as const;
  });
  return {
    [format.name]: optional(closedStruct(Object.fromEntries(fields), 'What the launch may do, field by field.')),
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
      sharedGpaBoundary: hex('Address above which memory is visible to the host; 0x0: none.'),
      ...(own === undefined ? {} : measured(own)),
      headers: facts('What else the headers say: memory, parameters.'),
      registers: facts('What its processors start with.'),
      regions: list(region, 'Its memory, by ascending address.'),
    },
    'What the guest of a platform is expected to be. Everything here decides.',
  );
}

export const lockSchema = struct({
  $schema: optional(text('The JSON Schema of this file, for editors.')),
  lockVersion: count({ min: BigInt(LOCK_VERSION), max: BigInt(LOCK_VERSION) }, 'Version of this format.'),
  file: facts('What the file says of itself and to no guest in particular.'),
  platforms: closedStruct(
    Object.fromEntries(
      Object.values(PLATFORM_TYPE).map((type) => [platformOf(type)?.name ?? '', optional(platform(type))]),
    ),
    'All platforms of the image.',
  ),
}).register(z.globalRegistry, {
  title: 'Measurement lock',
  description:
    'What an IGVM image is expected to be and to measure. Written by "nx run PROJECT:measure --update-lock", checked by its target verify, reviewed by people.',
});

/** How a guest is launched, as far as its digest depends on it: each of the counts with each of the processors. */
export type LockedLaunch = LaunchRequest;

/** A launch digest, and the launches that give it. */
export interface LockedDigest {
  /** Upper-case hexadecimal. */
  digest: string;
  /** Without: whatever launches the guest. */
  launches?: LockedLaunch[];
}

/** Adjacent pages of a guest that belong together. */
export interface LockedRegion {
  /** Address in hexadecimal, with 0x. */
  gpa: string;
  /** Bytes in hexadecimal, with 0x. */
  size: string;
  kind: RegionKind;
  /** What the headers of its pages say besides the kind. */
  marks?: string[];
  /** Whether the launch digest covers the contents. */
  measured: boolean;
  /** The map file's name for it. */
  tag?: string;
  /** SHA-256 of its contents. */
  sha256?: string;
}

/** SHA-256 of the documents about a guest, lower-case hexadecimal: what a signer is to be handed. */
export interface LockedDocuments {
  corim: string;
  identity: string;
  idBlock?: string;
}

/** What the guest of one platform is. Everything decides. */
export interface LockedPlatform {
  /** Whether the host may debug the guest. */
  debug: boolean;
  /** Security version; absent for an image that no document endorses. */
  svn?: number;
  /** Identity in the ID block, hexadecimal; where there is one. */
  familyId?: string;
  imageId?: string;
  /** Of SEV-SNP. */
  policy?: PolicyFields;
  /** Of TDX. */
  attributes?: PolicyFields;
  highestVtl: number;
  /** Hexadecimal, with 0x. */
  sharedGpaBoundary: string;
  /** Of the digests; absent where there are none. */
  algorithm?: string;
  /** Absent for a platform without launch measurement. */
  digests?: LockedDigest[];
  documents?: LockedDocuments;
  /** Whether the image holds its CoRIM; absent without documents. */
  corimInImage?: boolean;
  headers: Record<string, string>;
  registers: Record<string, string>;
  regions: LockedRegion[];
}

/** What an image is expected to be: the contents of igvm.lock.json. */
export interface MeasurementLock {
  $schema?: string;
  lockVersion: number;
  /** What the file says of itself. */
  file: Record<string, string>;
  /** All platforms of the file by their short names, measured or not. */
  platforms: Record<string, LockedPlatform>;
}
