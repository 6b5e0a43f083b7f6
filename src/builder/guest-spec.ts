import { unreachable } from '../errors/igvm-error';
import {
  type GuestIsolation,
  SNP_POLICY_DEBUG,
  TDX_POLICY_DEBUG_ALLOWED,
  TDX_POLICY_SEPT_VE_DISABLE,
} from '../loader/guest/guest-isolation';
import type { GuestSpec } from '../loader/guest/guest-platform';
import type { GuestConfig, IsolationType, Manifest } from '../manifest/model';

/** What the file says of a guest's isolation. `enable_debug` decides, whatever the policy's own debug bit says. */
function guestIsolation(isolation: IsolationType): GuestIsolation {
  if (isolation === 'none') return { type: 'none' };
  if ('vbs' in isolation) return { type: 'vbs', enableDebug: isolation.vbs.enable_debug };
  if ('tdx' in isolation) {
    const { enable_debug: debug, sept_ve_disable: noVirtualizationExceptions } = isolation.tdx;
    return {
      type: 'tdx',
      policy: (debug ? TDX_POLICY_DEBUG_ALLOWED : 0n) | (noVirtualizationExceptions ? TDX_POLICY_SEPT_VE_DISABLE : 0n),
    };
  }
  const { policy, enable_debug: debug, injection_type, secure_avic, shared_gpa_boundary_bits } = isolation.snp;
  return {
    type: 'snp',
    sharedGpaBoundaryBits: shared_gpa_boundary_bits ?? undefined,
    policy: (policy & ~SNP_POLICY_DEBUG) | (debug ? SNP_POLICY_DEBUG : 0n),
    injectionType: injection_type,
    secureAvic: secure_avic,
  };
}

/** Whether the guest may be debugged from outside; its endorsement says so. */
export function isDebuggable(isolation: GuestIsolation): boolean {
  switch (isolation.type) {
    case 'none':
      return false;
    case 'vbs':
      return isolation.enableDebug;
    case 'snp':
      return (isolation.policy & SNP_POLICY_DEBUG) !== 0n;
    case 'tdx':
      return (isolation.policy & TDX_POLICY_DEBUG_ALLOWED) !== 0n;
  }
}

/** The guest that a checked configuration describes. */
export function guestSpec({ max_vtl, image, isolation_type }: GuestConfig, arch: Manifest['guest_arch']): GuestSpec {
  if (max_vtl !== 0 && max_vtl !== 2) unreachable(`max_vtl ${max_vtl}`);
  const spec: GuestSpec = { arch, isolation: guestIsolation(isolation_type), maxVtl: max_vtl };
  if (image === 'none') return spec;
  if ('linux' in image) return { ...spec, native: arch === 'x64' && isolation_type === 'none' && max_vtl === 0 };
  if ('snp_linux_direct' in image) {
    const { c_bit_position, memory_page_count } = image.snp_linux_direct;
    return {
      ...spec,
      snpLinuxDirect: { cBitMask: 1n << BigInt(c_bit_position), ramPageCount: Number(memory_page_count) },
    };
  }
  return spec;
}
