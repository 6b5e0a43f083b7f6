import { loadingFrom } from '../guest/file-region';
import { IgvmError } from '../../errors/igvm-error';
import type { ByteSource } from '../../memory/byte-source';
import { PAGE_SIZE, pagesFor } from '../../memory/page';
import { isBzImage } from '../formats/bzimage';
import type { ImageImporter } from '../guest/importer';
import { loadKernelAndInitrdArm64, loadKernelAndInitrdX64, type LinuxLoadInfo } from '../guest/kernel';
import { StructWriter } from '../../memory/struct-writer';
import { noteCutOff } from '../linux/linux-direct';
import type { UefiLoadInfo } from '../uefi/uefi';
import { loadUefiArm64 } from '../uefi/uefi-arm64';
import { loadUefiX64 } from '../uefi/uefi-x64';

interface Vtl0CommandLine {
  commandLine: string;
  /** Whether a command line that is too long for the kernel is an error. Default: false. */
  mustFit?: boolean;
}

/** The image that OpenHCL starts in VTL0, if it is part of the file. */
export type Vtl0Image =
  | { kind: 'none' }
  | { kind: 'uefi'; firmware: ByteSource }
  | ({ kind: 'linux'; kernel: ByteSource; initrd?: ByteSource } & Vtl0CommandLine);

/** A {@link Vtl0Image} after layout. */
export type Vtl0LoadInfo =
  | { kind: 'none' }
  /** `vpContext` is the firmware's VBS context. */
  | { kind: 'uefi'; uefi: UefiLoadInfo; vpContext: Uint8Array }
  | ({ kind: 'linux'; linux: LinuxLoadInfo } & Vtl0CommandLine);

/**
 * The page where OpenHCL looks for the images that it may start (loader_defs/src/paravisor.rs): page 0 exists on every
 * x64 machine; on aarch64 it is UEFI's, and 16 MiB is above it.
 */
const VTL0_CONFIG_PAGE = { x64: 0, aarch64: 0x1000 } as const;

/** "OHCLVTL0", read as a big-endian number. */
const MAGIC = 0x4f48434c56544c30n;
const SUPPORTS = { UEFI: 1, PCAT: 2, LINUX: 4 };
const NO_REGION = [0, 0] as const;
const VTL0_COMMAND_LINE = ['image', 'openhcl', 'linux', 'command_line'];

/**
 * Lays out the image for VTL0, with its own registers.
 * @throws IgvmError from the image's loader; KERNEL_INVALID for a bzImage
 */
export function loadVtl0Image(importer: ImageImporter, image: Vtl0Image): Vtl0LoadInfo {
  const { arch } = importer;
  const nested = importer.nested();
  switch (image.kind) {
    case 'none':
      return image;
    case 'uefi': {
      const load = arch === 'x64' ? loadUefiX64 : loadUefiArm64;
      const uefi = loadingFrom(image.firmware, () => load(nested, image.firmware, 'none'));
      return { kind: 'uefi', uefi, vpContext: nested.takeVpContext() };
    }
    case 'linux': {
      const { kernel, initrd, commandLine, mustFit } = image;
      if (arch === 'x64' && isBzImage(kernel)) loadingFrom(kernel, refuseBzImage);
      const load = arch === 'x64' ? loadKernelAndInitrdX64 : loadKernelAndInitrdArm64;
      const linux = load(nested, kernel, 0, initrd);
      return { kind: 'linux', linux, commandLine, mustFit };
    }
  }
}

/**
 * Imports the measured configuration of VTL0 and the page after it, which holds UEFI's VP context or the kernel's
 * command line (ParavisorMeasuredVtl0Config). On aarch64, upstream leaves Linux out of it, and so do we.
 * @throws IgvmError LAYOUT_OUT_OF_RANGE for a command line above one page
 */
export function importVtl0Config(importer: ImageImporter, vtl0: Vtl0LoadInfo): void {
  const { arch } = importer;
  const configPage = VTL0_CONFIG_PAGE[arch];
  const contentPage = configPage + 1;
  const config = new StructWriter().u64(MAGIC);
  if (vtl0.kind === 'uefi') {
    const { firmwareBase, totalSize } = vtl0.uefi;
    importer.importPages(contentPage, 1, 'openhcl-uefi-vp-context', 'exclusive', vtl0.vpContext);
    // The host loads PCAT firmware, so every x64 image with UEFI can also be started with PCAT.
    config.u64(arch === 'x64' ? SUPPORTS.UEFI | SUPPORTS.PCAT : SUPPORTS.UEFI);
    config.u64(firmwareBase / PAGE_SIZE, totalSize / PAGE_SIZE, contentPage, 1);
  } else {
    const isLinux = vtl0.kind === 'linux' && arch === 'x64';
    config.u64(isLinux ? SUPPORTS.LINUX : 0).u64(...NO_REGION, ...NO_REGION);
    if (isLinux) linuxConfig(importer, config, contentPage, vtl0);
  }
  importer.importPages(configPage, 1, 'underhill-measured-config', 'exclusive', config.finish());
}

function linuxConfig(
  importer: ImageImporter,
  config: StructWriter,
  commandLinePage: number,
  { linux, commandLine, mustFit }: Extract<Vtl0LoadInfo, { kind: 'linux' }>,
): void {
  const { kernel, initrd } = linux;
  const text = new TextEncoder().encode(`${commandLine}\0`);
  if (text.length > PAGE_SIZE) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `the command line of the kernel in VTL0 has ${text.length - 1} bytes, and there is room for ${PAGE_SIZE - 1}`,
      { jsonPath: VTL0_COMMAND_LINE },
    );
  }
  noteCutOff(importer, text.length - 1, undefined, mustFit === true ? VTL0_COMMAND_LINE : undefined);
  importer.importPages(commandLinePage, 1, 'underhill-vtl0-linux-command-line', 'exclusive', text);
  const kernelPage = BigInt.asUintN(64, BigInt(kernel.gpa)) / BigInt(PAGE_SIZE);
  config.u64(kernelPage, pagesFor(kernel.size), kernel.entrypoint);
  if (initrd === undefined) config.u64(...NO_REGION, 0);
  else config.u64(initrd.gpa / PAGE_SIZE, pagesFor(initrd.size), initrd.size);
  config.u64(commandLinePage, 1);
}

function refuseBzImage(): never {
  throw new IgvmError(
    'KERNEL_INVALID',
    'linux-kernel is a bzImage, which OpenHCL cannot start in VTL0: it would lie at GPA 0, where OpenHCL has its configuration; use the uncompressed vmlinux',
  );
}
