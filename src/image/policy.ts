import { hex } from '../errors/hex';
import {
  type InitializationHeader,
  type IgvmFile,
  PLATFORM_TYPE,
  type PlatformHeader,
  type PlatformType,
} from '../igvm/model';
import { SNP_POLICY_DEBUG, TDX_POLICY_DEBUG_ALLOWED } from '../loader/guest/guest-isolation';

/** A policy by the names of its fields; `value` is all of it, in hexadecimal. */
export type PolicyFields = Record<string, string | boolean>;

/** A field of one bit. */
type PolicyBit = readonly [name: string, bit: bigint];

/** What a platform's guest policy header holds. */
interface PolicyFormat {
  /** What the platform calls it. */
  readonly name: 'policy' | 'attributes';
  readonly bits: readonly PolicyBit[];
  readonly debug: bigint;
  /** Whether the lowest bytes are the version of the firmware's ABI that the guest needs: minor, then major. */
  readonly hasAbi: boolean;
}

/** SEV-SNP firmware ABI 1.58, 4.3 Guest Policy; Intel TDX module base specification, TD ATTRIBUTES (igvm_defs: TdxPolicy). */
const FORMATS: Partial<Record<PlatformType, PolicyFormat>> = {
  [PLATFORM_TYPE.SEV_SNP]: {
    name: 'policy',
    hasAbi: true,
    debug: SNP_POLICY_DEBUG,
    bits: [
      ['smt', 16n],
      ['migrationAgent', 18n],
      ['debug', 19n],
      ['singleSocket', 20n],
      ['cxl', 21n],
      ['memoryAes256Xts', 22n],
      ['raplDisabled', 23n],
      ['ciphertextHiding', 24n],
      ['pageSwapDisabled', 25n],
    ],
  },
  [PLATFORM_TYPE.TDX]: {
    name: 'attributes',
    hasAbi: false,
    debug: TDX_POLICY_DEBUG_ALLOWED,
    bits: [
      ['debug', 0n],
      ['septVeDisable', 1n],
      ['migratable', 2n],
    ],
  },
};

/** What a file says of how a guest may be launched. */
export interface LaunchPolicy {
  name: PolicyFormat['name'];
  fields: PolicyFields;
  /** Whether the host may debug the guest, and so read its memory. Any of several policies counts. */
  debug: boolean;
}

/** The launch policy of a guest; undefined where its platform has none that this version knows, or the file has none for it. */
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

/** The names of a policy's fields, for the schema of locks. */
export const policyNames = (
  platformType: PlatformType,
): { name: PolicyFormat['name']; fields: string[] } | undefined => {
  const format = FORMATS[platformType];
  if (format === undefined) return undefined;
  return {
    name: format.name,
    fields: ['value', ...(format.hasAbi ? ['abi'] : []), ...format.bits.map(([name]) => name)],
  };
};
