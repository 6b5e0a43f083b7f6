import { IgvmError, unreachable } from '../errors/igvm-error';
import { loadingFrom } from '../loader/guest/file-region';
import { otherThanInitrd, startsNothing } from '../initrd/check-initramfs';
import { type BuiltGuest, GuestBuilder } from '../loader/guest/guest-builder';
import {
  type GuestIsolation,
  guestPlatform,
  type GuestSpec,
  SNP_POLICY_DEBUG,
  TDX_POLICY_DEBUG_ALLOWED,
  TDX_POLICY_SEPT_VE_DISABLE,
} from '../loader/guest/guest-platform';
import { loadKernelAndInitrdArm64, loadKernelAndInitrdX64 } from '../loader/guest/kernel';
import type { OpenhclGuest } from '../loader/openhcl/openhcl';
import type { Vtl0Image } from '../loader/openhcl/openhcl-vtl0';
import { PAGE_NUMBER_BITS } from '../manifest/check-manifest';
import {
  appendToCommandLine,
  COMMAND_LINE_FILE_LIMIT,
  commandLineConflict,
  commandLinePlace,
  commandLineText,
} from '../manifest/command-line';
import type {
  DirectLinuxImage,
  GuestConfig,
  IsolationType,
  LinuxImage,
  Manifest,
  OpenhclImage,
  ResourceName,
} from '../manifest/model';
import type { OpenResources } from './open-resources';

/** The isolation of a guest in the file. `enable_debug` overrides the debug bit of the policy. */
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

/** Whether the guest may be debugged from outside, which its endorsement states. */
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

/**
 * Loaders. Each module is loaded when the first image needs it, as loading all of them takes longer than building a
 * small image.
 */
const LOADERS = {
  linux: {
    x64: () => (require('../loader/linux/linux-x64') as typeof import('../loader/linux/linux-x64')).loadLinuxDirectX64,
    aarch64: () =>
      (require('../loader/linux/linux-arm64') as typeof import('../loader/linux/linux-arm64')).loadLinuxDirectArm64,
  },
  openhcl: {
    x64: () =>
      (require('../loader/openhcl/openhcl-x64') as typeof import('../loader/openhcl/openhcl-x64')).loadOpenhclX64,
    aarch64: () =>
      (require('../loader/openhcl/openhcl-arm64') as typeof import('../loader/openhcl/openhcl-arm64')).loadOpenhclArm64,
  },
  uefi: {
    x64: () => (require('../loader/uefi/uefi-x64') as typeof import('../loader/uefi/uefi-x64')).loadUefiX64,
    aarch64: () => (require('../loader/uefi/uefi-arm64') as typeof import('../loader/uefi/uefi-arm64')).loadUefiArm64,
  },
  snpLinuxDirect: () =>
    (require('../loader/linux/snp-linux-direct') as typeof import('../loader/linux/snp-linux-direct'))
      .loadSnpLinuxDirect,
} as const;

/** Whether text from a file is part of the command line, which must then not be cut off. */
const hasText = (resources: OpenResources): boolean => resources.has('linux_command_line');

/** A kernel and its initrd. */
function linuxFiles({ use_initrd: useInitrd }: LinuxImage, resources: OpenResources) {
  return {
    kernel: resources.linuxPart('linux_kernel'),
    initrd: useInitrd ? resources.linuxPart('linux_initrd') : undefined,
  };
}

/**
 * Refuses an initrd that Linux can't start anything from. Called when the kernel has turned out to be one.
 * @param isEmbedded whether the command line is part of the image, so that Linux gets this one and no other
 * @throws IgvmError INITRD_INVALID
 */
function checkInitrd(guest: GuestBuilder, image: LinuxImage, resources: OpenResources, isEmbedded: boolean): void {
  if (!image.use_initrd) return;
  const initrd = resources.linuxPart('linux_initrd');
  const { offset: _, ...place } = initrd.place ?? {};
  const other = otherThanInitrd(initrd);
  if (other !== undefined) {
    throw new IgvmError('INITRD_INVALID', `linux-initrd is ${other}, not an initramfs`, place);
  }
  if (!startsNothing(initrd, image.command_line)) return;
  const what =
    'the initramfs has no program "/init", and the command line names neither another program (rdinit=) nor a disk (root=)';
  if (!isEmbedded) {
    guest.note(`${what}: Linux panics unless the command line that the VMM passes does`);
    return;
  }
  const cure = 'add an init ("init" in initrd.json adds the one that comes with nx-igvm), or set one of the two';
  throw new IgvmError('INITRD_INVALID', `${what}, so Linux would panic: ${cure}`, place, { saysAll: true });
}

/**
 * Linux that is started directly. In VTL2 it could only be an unknown paravisor, so it gets no boot data and no
 * registers, as in the reference.
 */
function loadLinux(guest: GuestBuilder, image: DirectLinuxImage, resources: OpenResources): void {
  const files = linuxFiles(image, resources);
  const isX64 = guest.arch === 'x64';
  if (!guest.isolation.paravisorPresent) {
    LOADERS.linux[guest.arch]()(guest, { ...files, image });
    checkInitrd(guest, image, resources, image.boot_data === 'embedded');
    return;
  }
  const load = isX64 ? loadKernelAndInitrdX64 : loadKernelAndInitrdArm64;
  load(guest, files.kernel, 0, files.initrd);
  guest.note('a linux image in VTL2 has neither registers nor boot data: no known VMM starts it');
}

function vtl0Image({ uefi, linux }: OpenhclImage, resources: OpenResources): Vtl0Image {
  if (uefi) return { kind: 'uefi', firmware: resources.get('uefi') };
  if (!linux) return { kind: 'none' };
  const { command_line: commandLine } = linux;
  return { kind: 'linux', ...linuxFiles(linux, resources), commandLine, mustFit: hasText(resources) };
}

/** A page number, reduced to the bits that its address can hold: see PAGE_NUMBER_BITS. */
function pageNumber(guest: GuestBuilder, key: string, given: bigint): bigint {
  const kept = BigInt.asUintN(PAGE_NUMBER_BITS, given);
  if (kept !== given) {
    guest.note(`${key} is ${given}, and a page number has ${PAGE_NUMBER_BITS} bits: it is taken as ${kept}`);
  }
  return kept;
}

const openhclGuest = (guest: GuestBuilder, image: OpenhclImage, resources: OpenResources): OpenhclGuest => ({
  kernel: resources.get('underhill_kernel'),
  bootShim: resources.get('openhcl_boot'),
  initrd: resources.get('underhill_initrd'),
  sidecar: resources.find('underhill_sidecar'),
  commandLine: image.command_line,
  staticCommandLine: image.static_command_line,
  memoryPageBase:
    typeof image.memory_page_base === 'bigint'
      ? pageNumber(guest, 'memory_page_base', image.memory_page_base)
      : undefined,
  memoryPageCount: pageNumber(guest, 'memory_page_count', image.memory_page_count),
  vtl0: vtl0Image(image, resources),
  productPolicy: image.product_policy ?? undefined,
});

/** Whether the image is OVMF, whose pages all guests of a file share (load-ovmf.ts). */
export const isOvmf = ({ image }: GuestConfig): boolean => typeof image !== 'string' && 'ovmf' in image;

function loadImage(
  guest: GuestBuilder,
  { image, isolation_type: isolationType }: GuestConfig,
  resources: OpenResources,
): void {
  if (image === 'none') return;
  if ('ovmf' in image) unreachable('an image of OVMF as one of several');
  if ('linux' in image) {
    loadLinux(guest, image.linux, resources);
    return;
  }
  if ('uefi' in image) {
    LOADERS.uefi[guest.arch]()(guest, resources.get('uefi'), image.uefi.config_type);
    return;
  }
  if ('openhcl' in image) {
    if (!guest.isolation.paravisorPresent) {
      guest.note('OpenHCL is a paravisor, and without "max_vtl": 2 no known VMM starts it');
    }
    LOADERS.openhcl[guest.arch]()(guest, openhclGuest(guest, image.openhcl, resources));
    const { uefi, linux } = image.openhcl;
    if (!uefi && linux) checkInitrd(guest, linux, resources, true);
    return;
  }
  const { linux, processor_count, memory_page_count, c_bit_position } = image.snp_linux_direct;
  LOADERS.snpLinuxDirect()(guest, {
    ...linuxFiles(linux, resources),
    commandLine: linux.command_line,
    commandLineMustFit: hasText(resources),
    processorCount: processor_count,
    memoryPageCount: Number(memory_page_count),
    cBitPosition: c_bit_position,
    bootShim: resources.find('snp_bootshim'),
    injectionType: isolationType !== 'none' && 'snp' in isolationType ? isolationType.snp.injection_type : 'normal',
  });
  checkInitrd(guest, linux, resources, true);
}

/** A boundary beyond 64 bits counts modulo 64, as in upstream's release builds. */
function noteBoundary(guest: GuestBuilder): void {
  const { type, sharedGpaBoundaryBits: bits } = guest.isolation;
  if (type === 'snp' && bits !== undefined && bits > 63) {
    guest.note(`shared_gpa_boundary_bits is ${bits}, and an address has 64 bits: the boundary is at bit ${bits % 64}`);
  }
}

/** The file that errors are about by default. OpenHCL's loaders, which read several files, name it themselves. */
function mainResource(image: GuestConfig['image']): ResourceName | undefined {
  if (image === 'none') return undefined;
  if ('uefi' in image) return 'uefi';
  return 'linux' in image || 'snp_linux_direct' in image ? 'linux_kernel' : undefined;
}

/**
 * Lays out one guest of a checked manifest.
 * @throws IgvmError from the loader of its image and from GuestBuilder
 */
export function loadGuest(given: GuestConfig, arch: Manifest['guest_arch'], resources: OpenResources): BuiltGuest {
  const load = (): BuiltGuest => {
    const text = textForCommandLine(resources);
    const config = text === undefined ? given : withCommandLine(given, arch, text);
    const guest = new GuestBuilder(guestPlatform(guestSpec(config, arch)));
    noteBoundary(guest);
    loadImage(guest, config, resources);
    for (const note of resources.ukiNotes()) guest.note(note);
    return guest.finish();
  };
  const main = mainResource(given.image);
  return main === undefined ? load() : loadingFrom(resources.get(main), load);
}

/**
 * The text of the resource `linux_command_line`, or undefined when there is none.
 * @throws IgvmError COMMAND_LINE_TEXT, and what opening and reading the file throws
 */
export function textForCommandLine(resources: OpenResources): string | undefined {
  if (!resources.has('linux_command_line')) return undefined;
  const source = resources.linuxPart('linux_command_line');
  const file = resources.displayOf('linux_command_line');
  if (source.size > COMMAND_LINE_FILE_LIMIT) {
    throw new IgvmError(
      'COMMAND_LINE_TEXT',
      `has ${source.size} bytes, and text for a command line has ${COMMAND_LINE_FILE_LIMIT} at most`,
      { file },
    );
  }
  const bytes = new Uint8Array(source.size);
  source.read(0, bytes);
  return commandLineText(bytes, file);
}

/**
 * A guest with the text appended to its command line; the same guest if it has no command line.
 * @throws IgvmError MANIFEST_CONFLICT for an image that has no place for it, COMMAND_LINE_TEXT
 */
export function withCommandLine(config: GuestConfig, arch: Manifest['guest_arch'], text: string): GuestConfig {
  const conflict = commandLineConflict({ guest_arch: arch, guest_configs: [config] }, config);
  if (conflict !== undefined) {
    throw new IgvmError('MANIFEST_CONFLICT', conflict[1], { jsonPath: conflict[0] });
  }
  const place = commandLinePlace(config.image);
  if (place === undefined) return config;
  return { ...config, image: changed(config.image, place, text) as GuestConfig['image'] };
}

/** The same object with text appended to the member that `path` leads to. */
function changed(value: unknown, [key, ...rest]: readonly string[], text: string): unknown {
  if (key === undefined) return appendToCommandLine(String(value), text);
  const members = value as Record<string, unknown>;
  return { ...members, [key]: changed(members[key], rest, text) };
}
