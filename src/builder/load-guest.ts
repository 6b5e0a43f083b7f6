import { type BuiltGuest, GuestBuilder } from '../loader/guest/guest-builder';
import { guestPlatform } from '../loader/guest/guest-platform';
import { loadKernelAndInitrdArm64, loadKernelAndInitrdX64 } from '../loader/guest/kernel';
import type { OpenhclGuest } from '../loader/openhcl/openhcl';
import type { Vtl0Image } from '../loader/openhcl/openhcl-vtl0';
import type { DirectLinuxImage, GuestConfig, LinuxImage, Manifest, OpenhclImage } from '../manifest/model';
import { PAGE_NUMBER_BITS } from '../manifest/check-manifest';
import { textForCommandLine, withCommandLine } from './command-line';
import { guestSpec } from './guest-spec';
import { namingFile } from './naming-file';
import type { OpenResources } from './open-resources';

/** Loaders, each loaded when the first image needs it: starting to build takes longer than a small image. */
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

/** Whether a file has a part in the command line, which is then no good cut off. */
const hasText = (resources: OpenResources): boolean => resources.find('linux_command_line') !== undefined;

/** A kernel and its initrd. */
function linuxFiles({ use_initrd: useInitrd }: LinuxImage, resources: OpenResources) {
  return { kernel: resources.get('linux_kernel'), initrd: useInitrd ? resources.get('linux_initrd') : undefined };
}

/**
 * Linux that starts by itself. In VTL2 it can only be a paravisor of its own kind, of which nothing is known: it gets no
 * boot data and no registers, as in the reference.
 */
function loadLinux(guest: GuestBuilder, image: DirectLinuxImage, resources: OpenResources): void {
  const files = linuxFiles(image, resources);
  const isX64 = guest.arch === 'x64';
  if (!guest.isolation.paravisorPresent) {
    LOADERS.linux[guest.arch]()(guest, { ...files, image });
    return;
  }
  const load = isX64 ? loadKernelAndInitrdX64 : loadKernelAndInitrdArm64;
  load(guest, files.kernel, 0, files.initrd);
  guest.note('a linux image in VTL2 has neither registers nor boot data: nothing that is known starts it');
}

function vtl0Image({ uefi, linux }: OpenhclImage, resources: OpenResources): Vtl0Image {
  if (uefi) return { kind: 'uefi', firmware: resources.get('uefi') };
  if (!linux) return { kind: 'none' };
  const { command_line: commandLine } = linux;
  return { kind: 'linux', ...linuxFiles(linux, resources), commandLine, mustFit: hasText(resources) };
}

/** A page's number as its address keeps it: see PAGE_NUMBER_BITS. */
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

function loadImage(
  guest: GuestBuilder,
  { image, isolation_type: isolationType }: GuestConfig,
  resources: OpenResources,
): void {
  if (image === 'none') return;
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
      guest.note('OpenHCL is a paravisor, and without "max_vtl": 2 nothing that is known starts it');
    }
    LOADERS.openhcl[guest.arch]()(guest, openhclGuest(guest, image.openhcl, resources));
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
}

/** A boundary beyond 64 bits counts modulo 64, as in upstream's release builds. */
function noteBoundary(guest: GuestBuilder): void {
  const { type, sharedGpaBoundaryBits: bits } = guest.isolation;
  if (type === 'snp' && bits !== undefined && bits > 63) {
    guest.note(`shared_gpa_boundary_bits is ${bits}, and an address has 64 bits: the boundary is at bit ${bits % 64}`);
  }
}

/**
 * Lays out one guest of a checked manifest.
 * @throws IgvmError from the loader of its image and from GuestBuilder
 */
export function loadGuest(given: GuestConfig, arch: Manifest['guest_arch'], resources: OpenResources): BuiltGuest {
  return namingFile(resources, () => {
    const text = textForCommandLine(resources);
    const config = text === undefined ? given : withCommandLine(given, arch, text);
    const guest = new GuestBuilder(guestPlatform(guestSpec(config, arch)));
    noteBoundary(guest);
    loadImage(guest, config, resources);
    return guest.finish();
  });
}
