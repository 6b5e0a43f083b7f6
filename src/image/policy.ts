import { hex } from '../errors/printable';
import {
  type InitializationHeader,
  type IgvmFile,
  PLATFORM_TYPE,
  type PlatformHeader,
  type PlatformType,
} from '../igvm/model';
import { SNP_POLICY_DEBUG, TDX_POLICY_DEBUG_ALLOWED } from '../loader/guest/guest-platform';

/** A policy by the names of its fields. `value` is the whole policy in hexadecimal. */
export type PolicyFields = Record<string, string | boolean>;

/** A field of one bit. */
type PolicyBit = readonly [name: string, bit: bigint, meaning: string];

/** The content of a platform's guest policy header. */
interface PolicyFormat {
  /** Its name on this platform. */
  readonly name: 'policy' | 'attributes';
  readonly bits: readonly PolicyBit[];
  readonly debug: bigint;
  /** Whether the lowest bytes are the required version of the firmware's ABI: minor, then major. */
  readonly hasAbi: boolean;
}

/** SEV-SNP firmware ABI 1.58, 4.3 Guest Policy; Intel TDX module base specification, TD ATTRIBUTES (igvm_defs: TdxPolicy). */
const FORMATS: Partial<Record<PlatformType, PolicyFormat>> = {
  [PLATFORM_TYPE.SEV_SNP]: {
    name: 'policy',
    hasAbi: true,
    debug: SNP_POLICY_DEBUG,
    bits: [
      ['smt', 16n, 'Whether the guest may run on processors with simultaneous multithreading.'],
      ['migrationAgent', 18n, 'Whether a migration agent may be bound to the guest.'],
      ['debug', 19n, 'Whether the host may debug the guest, and so read its memory.'],
      ['singleSocket', 20n, 'Whether the guest may run on a single socket only.'],
      ['cxl', 21n, 'Whether CXL memory may be used.'],
      ['memoryAes256Xts', 22n, 'Whether memory has to be encrypted with AES-256 XTS.'],
      ['raplDisabled', 23n, 'Whether power readings (RAPL), which could reveal what a guest does, have to be off.'],
      ['ciphertextHiding', 24n, "Whether the ciphertext of the guest's memory has to be hidden from the host."],
      ['pageSwapDisabled', 25n, "Whether the host may not move the guest's pages with the commands for swapping."],
    ],
  },
  [PLATFORM_TYPE.TDX]: {
    name: 'attributes',
    hasAbi: false,
    debug: TDX_POLICY_DEBUG_ALLOWED,
    bits: [
      ['debug', 0n, 'Whether the host may debug the guest, and so read its memory.'],
      ['septVeDisable', 1n, 'Whether accesses to unaccepted memory raise no virtualization exception (#VE).'],
      ['migratable', 2n, 'Whether the guest may be migrated.'],
    ],
  },
};

/** How a guest may be launched, as the file states it. */
export interface LaunchPolicy {
  name: PolicyFormat['name'];
  fields: PolicyFields;
  /** Whether the host may debug the guest, and so read its memory. If there are several policies, whether any of them allows it. */
  debug: boolean;
}

/** The launch policy of a guest; undefined if this version knows no policy of its platform, or the file has none for it. */
export function launchPolicy(
  { initializations }: Pick<IgvmFile, 'initializations'>,
  { platformType, compatibilityMask }: PlatformHeader,
): LaunchPolicy | undefined {
  const format = FORMATS[platformType];
  const policies = initializations.flatMap((header) => (isPolicyFor(header, compatibilityMask) ? [header.policy] : []));
  const [policy] = policies;
  if (format === undefined || policy === undefined) return undefined;
  const isSet = (bit: bigint): boolean => ((policy >> bit) & 1n) === 1n;
  return {
    name: format.name,
    fields: {
      value: hex(policy),
      ...(format.hasAbi ? { abi: `${(policy >> 8n) & 0xffn}.${policy & 0xffn}` } : {}),
      ...Object.fromEntries(format.bits.map(([name, bit]) => [name, isSet(bit)])),
    },
    debug: policies.some((each) => (each & format.debug) !== 0n),
  };
}

const isPolicyFor = (
  header: InitializationHeader,
  mask: number,
): header is Extract<InitializationHeader, { type: 'guestPolicy' }> =>
  header.type === 'guestPolicy' && (header.compatibilityMask & mask) !== 0;

/** The names of a policy's fields, and the meanings of one-bit fields, for the schema of locks. */
export const policyNames = (
  platformType: PlatformType,
): { name: PolicyFormat['name']; fields: string[]; meanings: Record<string, string> } | undefined => {
  const format = FORMATS[platformType];
  if (format === undefined) return undefined;
  return {
    name: format.name,
    fields: ['value', ...(format.hasAbi ? ['abi'] : []), ...format.bits.map(([name]) => name)],
    meanings: Object.fromEntries(format.bits.map(([name, , meaning]) => [name, meaning])),
  };
};
