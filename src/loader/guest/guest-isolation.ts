/** How a guest is isolated, with everything the file has to say about it (file_loader.rs: LoaderIsolationType). */
export type GuestIsolation =
  | { type: 'none' }
  | { type: 'vbs'; enableDebug: boolean }
  | {
      type: 'snp';
      /** Address bit from which on memory is shared with the host; absent for guests that use the C-bit. */
      sharedGpaBoundaryBits?: number;
      /** SnpPolicy, debug bit included. */
      policy: bigint;
      injectionType: 'normal' | 'restricted';
      secureAvic: 'enabled' | 'disabled';
    }
  | {
      type: 'tdx';
      /** TdxPolicy. */
      policy: bigint;
    };

/** The address bit at which TDX memory is shared on every processor with 48 bits of address (file_loader.rs). */
export const TDX_SHARED_GPA_BOUNDARY_BITS = 47;

/** A bit field of a policy: its name, lowest bit and width. */
type BitField = readonly [name: string, lowestBit: bigint, bits: bigint];

/** SEV-SNP firmware ABI, 4.3 Guest Policy (igvm_defs: SnpPolicy). */
export const SNP_POLICY_FIELDS: readonly BitField[] = [
  ['abi_minor', 0n, 8n],
  ['abi_major', 8n, 8n],
  ['smt', 16n, 1n],
  ['reserved_must_be_one', 17n, 1n],
  ['migrate_ma', 18n, 1n],
  ['debug', 19n, 1n],
  ['single_socket', 20n, 1n],
  ['reserved', 21n, 43n],
];

/** The TD attributes that an IGVM file may ask for (igvm_defs: TdxPolicy). */
export const TDX_POLICY_FIELDS: readonly BitField[] = [
  ['debug_allowed', 0n, 1n],
  ['sept_ve_disable', 1n, 1n],
  ['migratable', 2n, 1n],
  ['reserved', 3n, 61n],
];

export const SNP_POLICY_DEBUG = 1n << 19n;
export const TDX_POLICY_DEBUG_ALLOWED = 1n << 0n;
export const TDX_POLICY_SEPT_VE_DISABLE = 1n << 1n;

/** The fields of a policy with their values, lowest first. */
export function policyFields(policy: bigint, fields: readonly BitField[]): [name: string, value: bigint][] {
  return fields.map(([name, lowestBit, bits]) => [name, (policy >> lowestBit) & ((1n << bits) - 1n)]);
}
