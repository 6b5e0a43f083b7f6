import { IgvmError, unreachable } from '../../errors/igvm-error';
import { existsOn, PLATFORM_VERSION } from '../../igvm/platforms';
import { type GuestArch, PLATFORM_TYPE, type PlatformHeader, type PlatformType } from '../../igvm/model';
import { PAGE_SIZE } from '../../memory/page';
import { NativeContext } from '../../vp-context/native';
import { SnpContext } from '../../vp-context/snp';
import { TdxContext } from '../../vp-context/tdx';
import { VbsContext } from '../../vp-context/vbs';
import { KVM_VMSA_GPA } from '../../vp-context/vmsa';
import type { VpContextBuilder } from '../../vp-context/vp-register';
import type { NestedVpContext } from './nested-guest';

/** How a guest is isolated, with all related settings of the file (file_loader.rs: LoaderIsolationType). */
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

/** The properties of a guest that have to be known before anything is loaded into it. */
export interface GuestSpec {
  arch: GuestArch;
  isolation: GuestIsolation;
  /** 2 if there is a paravisor. */
  maxVtl: 0 | 2;
  /** Linux booted directly without isolation: a NATIVE guest, which plain VMMs can start. x64 only. */
  native?: boolean;
  /** Linux booted directly under SNP, with the C-bit instead of a shared GPA boundary. */
  snpLinuxDirect?: { cBitMask: bigint; ramPageCount: number };
}

/** RAM from GPA 0 on, all of it part of the image. */
export interface FixedRam {
  pageCount: number;
}

/** A guest's headers and VP context, before anything is loaded. */
export interface GuestPlatform {
  arch: GuestArch;
  isolation: GuestIsolation;
  /** Of the file format: NATIVE and aarch64 need 2; everything else stays readable for loaders that know only 1. */
  version: 1 | 2;
  header: PlatformHeader;
  /** Becomes a GuestPolicy header. */
  policy?: bigint;
  vpContext: VpContextBuilder;
  /** The context of a paravisor's inner guest. */
  nestedVpContext(): NestedVpContext;
  fixedRam?: FixedRam;
}

/**
 * Headers and VP context of a guest (file_loader.rs: IgvmLoader::new, new_snp_linux_direct).
 * @throws IgvmError ISOLATION_UNSUPPORTED for a combination that no platform has
 */
export function guestPlatform(spec: GuestSpec): GuestPlatform {
  const { arch, isolation, maxVtl } = spec;
  if (!existsOn(isolation.type, arch)) {
    throw new IgvmError(
      'ISOLATION_UNSUPPORTED',
      `${isolation.type} isolation does not exist on ${arch}, which guest_arch is`,
      { jsonPath: ['isolation_type'] },
    );
  }
  const header = (platformType: PlatformType, sharedGpaBoundary = 0n): PlatformHeader => ({
    compatibilityMask: 1,
    highestVtl: maxVtl,
    platformType,
    platformVersion: PLATFORM_VERSION,
    sharedGpaBoundary,
  });
  const common = {
    arch,
    isolation,
    version: arch === 'aarch64' ? (2 as const) : (1 as const),
    nestedVpContext: () => new VbsContext(arch, maxVtl),
  };
  switch (isolation.type) {
    case 'none':
      if (spec.native === true) {
        if (arch !== 'x64') unreachable('a NATIVE guest that is not x64');
        return { ...common, version: 2, header: header(PLATFORM_TYPE.NATIVE), vpContext: new NativeContext() };
      }
      return { ...common, header: header(PLATFORM_TYPE.VSM_ISOLATION), vpContext: new VbsContext(arch, maxVtl) };
    case 'vbs':
      return { ...common, header: header(PLATFORM_TYPE.VSM_ISOLATION), vpContext: new VbsContext(arch, maxVtl) };
    case 'snp': {
      const { policy, injectionType, secureAvic, sharedGpaBoundaryBits } = isolation;
      if (spec.snpLinuxDirect !== undefined) {
        const { cBitMask, ramPageCount } = spec.snpLinuxDirect;
        const vpContext = SnpContext.createLinuxDirect({ cBitMask, injectionType });
        vpContext.setContextPage(KVM_VMSA_GPA / PAGE_SIZE);
        return {
          ...common,
          header: header(PLATFORM_TYPE.SEV_SNP),
          policy,
          vpContext,
          fixedRam: { pageCount: ramPageCount },
        };
      }
      const sharedGpaBoundary = snpBoundary(sharedGpaBoundaryBits);
      return {
        ...common,
        header: header(PLATFORM_TYPE.SEV_SNP, sharedGpaBoundary),
        policy,
        vpContext: SnpContext.create({ paravisorPresent: maxVtl === 2, sharedGpaBoundary, injectionType, secureAvic }),
      };
    }
    case 'tdx': {
      const { policy } = isolation;
      return {
        ...common,
        header: header(PLATFORM_TYPE.TDX, 1n << BigInt(TDX_SHARED_GPA_BOUNDARY_BITS)),
        policy: policy === 0n ? undefined : policy,
        vpContext: new TdxContext({ paravisorPresent: maxVtl === 2 }),
      };
    }
  }
}

/** The address from which on an SNP guest's memory is shared. Bits count modulo 64, as the reference's shift does. */
function snpBoundary(bits: number | undefined): bigint {
  if (bits === undefined) {
    throw new IgvmError(
      'ISOLATION_UNSUPPORTED',
      'SNP needs shared_gpa_boundary_bits, except for snp_linux_direct, which uses the C-bit',
      { jsonPath: ['isolation_type', 'snp'] },
    );
  }
  return 1n << BigInt(bits % 64);
}
