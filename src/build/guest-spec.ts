import { IgvmError } from '../errors/igvm-error';
import {
  type GuestIsolation,
  SNP_POLICY_DEBUG,
  TDX_POLICY_DEBUG_ALLOWED,
  TDX_POLICY_SEPT_VE_DISABLE,
} from '../loader/guest-isolation';
import type { GuestSpec } from '../loader/guest-platform';
import type { GuestConfig, Image, IsolationType, Manifest } from '../manifest/model';

/** Ways to build a manifest otherwise than it says. */
export interface BuildVariant {
  /** Builds SNP guests without secure AVIC. */
  disableSecureAvic?: boolean;
  /** Has OpenHCL trust the host's diagnostics, by its measured command line. */
  confidentialDebug?: boolean;
}

/** What OpenHCL looks for on its command line (openvmm underhill_confidentiality). */
const CONFIDENTIAL_DEBUG = 'OPENHCL_CONFIDENTIAL_DEBUG=1';

/** The kinds of image by their key in the manifest. */
export type ImageKind = 'none' | 'uefi' | 'openhcl' | 'linux' | 'snp_linux_direct';

export const imageKind = (image: Image): ImageKind =>
  image === 'none' ? 'none' : (Object.keys(image)[0] as ImageKind);

/** The isolation type's key in the manifest. */
export const isolationKind = (isolation: IsolationType): GuestIsolation['type'] =>
  isolation === 'none' ? 'none' : (Object.keys(isolation)[0] as GuestIsolation['type']);

/** The manifest as a variant builds it. */
export function applyVariant(manifest: Manifest, variant: BuildVariant): Manifest {
  const guests = manifest.guest_configs.map((guest) => {
    let { isolation_type: isolation, image } = guest;
    if (variant.disableSecureAvic === true && isolation !== 'none' && 'snp' in isolation) {
      isolation = { snp: { ...isolation.snp, secure_avic: 'disabled' } };
    }
    if (variant.confidentialDebug === true && image !== 'none' && 'openhcl' in image) {
      const { command_line: line } = image.openhcl;
      const commandLine = line === '' ? CONFIDENTIAL_DEBUG : `${line} ${CONFIDENTIAL_DEBUG}`;
      image = { openhcl: { ...image.openhcl, command_line: commandLine } };
    }
    return { ...guest, isolation_type: isolation, image };
  });
  return { ...manifest, guest_configs: guests };
}

/** What the file says of a guest's isolation. The debug switch decides over the policy's own debug bit. */
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

/** Whether the guest may be debugged from outside, as its endorsement says. */
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

/** Address bits of a page table entry, and the first one behind the 4 GiB that the start-up page tables map. */
const C_BIT_RANGE = { first: 32, last: 51 };

const unsupported = (message: string): IgvmError => new IgvmError('CONFIG_UNSUPPORTED', message);

/** What snp_linux_direct needs of the rest of its guest (igvmfilegen main.rs, igvmfilegen_config Image::validate). */
function snpLinuxDirect(guest: GuestConfig, arch: Manifest['guest_arch']): GuestSpec['snpLinuxDirect'] {
  const { image, isolation_type: isolation } = guest;
  if (image === 'none' || !('snp_linux_direct' in image)) return undefined;
  const { processor_count, memory_page_count, c_bit_position } = image.snp_linux_direct;
  if (processor_count === 0) throw unsupported('snp_linux_direct needs a processor_count of at least 1');
  if (memory_page_count === 0n) throw unsupported('snp_linux_direct needs a memory_page_count of at least 1');
  if (memory_page_count >= 1n << 20n) {
    throw unsupported(`snp_linux_direct holds less than 4 GiB, but memory_page_count is ${memory_page_count}`);
  }
  if (c_bit_position < C_BIT_RANGE.first || c_bit_position > C_BIT_RANGE.last) {
    throw unsupported(
      `c_bit_position must be from ${C_BIT_RANGE.first} to ${C_BIT_RANGE.last}, outside the memory that Linux starts with, but it is ${c_bit_position}`,
    );
  }
  if (guest.max_vtl !== 0) throw unsupported(`snp_linux_direct needs max_vtl 0, but it is ${guest.max_vtl}`);
  if (isolation === 'none' || !('snp' in isolation)) throw unsupported('snp_linux_direct needs isolation_type snp');
  const { shared_gpa_boundary_bits, injection_type, secure_avic } = isolation.snp;
  if (shared_gpa_boundary_bits !== undefined && shared_gpa_boundary_bits !== null) {
    throw unsupported('snp_linux_direct uses the C-bit, so it cannot have shared_gpa_boundary_bits');
  }
  if (injection_type !== 'normal') throw unsupported('snp_linux_direct needs injection_type "normal"');
  if (secure_avic !== 'disabled') throw unsupported('snp_linux_direct needs secure_avic "disabled"');
  if (arch !== 'x64') throw unsupported(`snp_linux_direct exists on x64 only, but guest_arch is ${arch}`);
  return { cBitMask: 1n << BigInt(c_bit_position), ramPageCount: Number(memory_page_count) };
}

/**
 * The guest that a configuration describes.
 * @throws IgvmError CONFIG_UNSUPPORTED for options that don't go together
 */
export function guestSpec(guest: GuestConfig, arch: Manifest['guest_arch']): GuestSpec {
  const { max_vtl: maxVtl, image } = guest;
  if (maxVtl !== 0 && maxVtl !== 2) throw unsupported(`max_vtl must be 0 or 2, but it is ${maxVtl}`);
  const isolation = guestIsolation(guest.isolation_type);
  const kind = imageKind(image);
  if (kind === 'linux' && (isolation.type === 'snp' || isolation.type === 'tdx')) {
    throw unsupported(
      `a linux image cannot be isolated by ${isolation.type}: use ${isolation.type === 'snp' ? 'snp_linux_direct or ' : ''}openhcl with linux in VTL0`,
    );
  }
  if (image !== 'none' && 'openhcl' in image && image.openhcl.uefi && image.openhcl.linux) {
    throw unsupported('openhcl can start either uefi or linux in VTL0, not both');
  }
  const direct = snpLinuxDirect(guest, arch);
  return {
    arch,
    isolation,
    maxVtl,
    native: arch === 'x64' && kind === 'linux' && isolation.type === 'none' && maxVtl === 0,
    snpLinuxDirect: direct,
  };
}

/** Platforms whose endorsement files are named after them: one guest of each at most. */
const isMeasurable = (kind: GuestIsolation['type']): boolean => kind !== 'none';

/**
 * Checks that the guests of a manifest can share one file.
 * @throws IgvmError CONFIG_UNSUPPORTED
 */
export function checkGuestsTogether(manifest: Manifest): void {
  const guests = manifest.guest_configs;
  if (guests.length === 0) throw unsupported('the manifest has no guest in guest_configs');
  if (guests.length === 1) return;
  if (guests.some(({ image }) => imageKind(image) === 'snp_linux_direct')) {
    throw unsupported('snp_linux_direct must be the only guest of its manifest');
  }
  const kinds = guests.map((guest) => isolationKind(guest.isolation_type));
  const repeated = kinds.find((kind, index) => isMeasurable(kind) && kinds.indexOf(kind) !== index);
  if (repeated !== undefined) {
    throw unsupported(`the manifest has more than one guest with isolation_type ${repeated}; a file holds one`);
  }
  const isNative = (guest: GuestConfig): boolean =>
    manifest.guest_arch === 'x64' &&
    imageKind(guest.image) === 'linux' &&
    guest.isolation_type === 'none' &&
    guest.max_vtl === 0;
  if (guests.some(isNative)) {
    throw unsupported(
      'a linux image without isolation must be the only guest of its manifest: its file has another format version',
    );
  }
}
