import { PAGE_SIZE } from '../../memory/page';
import { BOOT_FLAG, BOOT_PARAMS, HEADER_MAGIC, SETUP_HEADER_END, SETUP_HEADER_START } from '../formats/boot-params';
import type { BzImageInfo } from '../formats/bzimage';
import { type E820Range, writeE820Map } from './e820';

/** What the zero page tells the kernel. Addresses and sizes in bytes. */
export interface ZeroPageContent {
  commandLine: {
    gpa: number;
    /**
     * What `cmdline_size` says: the longest command line that the kernel takes, in bytes without NUL (boot.rst has it as a field
     * that loaders only read). igvmfilegen writes the length of this command line there.
     */
    size: number;
  };
  initrd?: { gpa: number; size: number };
  /** Head of the setup_data list. */
  setupData: number;
  memoryMap: readonly E820Range[];
  /** Where the image's own ACPI tables begin. */
  rsdpGpa?: number;
  /** Of a bzImage: the kernel reads its own setup header back. */
  bzImage?: BzImageInfo;
}

/** Of an ELF kernel, which has no header to say it: what upstream claims. */
const ELF_KERNEL_ALIGNMENT = 0x100000;
/** A boot loader without a number of its own. */
const LOADER_UNREGISTERED = 0xff;

/**
 * The kernel's boot_params (openvmm vm/loader/src/linux.rs: build_zero_page).
 * @throws IgvmError LAYOUT_OUT_OF_RANGE when the memory map has too many ranges
 */
export function linuxDirectZeroPage(content: ZeroPageContent): Uint8Array {
  const { commandLine, initrd, bzImage, memoryMap } = content;
  const page = new Uint8Array(PAGE_SIZE);
  const view = new DataView(page.buffer);
  if (bzImage !== undefined) {
    page.set(bzImage.setupHeader.subarray(0, SETUP_HEADER_END - SETUP_HEADER_START), SETUP_HEADER_START);
  } else {
    view.setUint16(BOOT_PARAMS.boot_flag, BOOT_FLAG, true);
    view.setUint32(BOOT_PARAMS.header, HEADER_MAGIC, true);
    view.setUint32(BOOT_PARAMS.kernel_alignment, ELF_KERNEL_ALIGNMENT, true);
  }
  view.setUint8(BOOT_PARAMS.type_of_loader, LOADER_UNREGISTERED);
  view.setUint32(BOOT_PARAMS.cmd_line_ptr, commandLine.gpa, true);
  view.setUint32(BOOT_PARAMS.cmdline_size, commandLine.size, true);
  view.setUint32(BOOT_PARAMS.ramdisk_image, initrd?.gpa ?? 0, true);
  view.setUint32(BOOT_PARAMS.ramdisk_size, initrd?.size ?? 0, true);
  view.setBigUint64(BOOT_PARAMS.setup_data, BigInt(content.setupData), true);

  view.setBigUint64(BOOT_PARAMS.acpi_rsdp_addr, BigInt(content.rsdpGpa ?? 0), true);
  writeE820Map(view, memoryMap);
  return page;
}
