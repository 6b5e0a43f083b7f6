import { IgvmError } from '../../errors/igvm-error';
import { PAGE_SIZE } from '../../memory/page';
import {
  BOOT_FLAG,
  BOOT_PARAMS,
  type BzImageInfo,
  HEADER_MAGIC,
  SETUP_HEADER_END,
  SETUP_HEADER_START,
} from '../formats/bzimage';

/** Types of memory in the e820 map (Linux, arch/x86/include/uapi/asm/setup_data.h). */
export const E820 = { RAM: 1, RESERVED: 2, ACPI: 3 } as const;

/** A range of the e820 map; bytes. */
export interface E820Range {
  start: number;
  end: number;
  type: (typeof E820)[keyof typeof E820];
}

const ENTRY_SIZE = 20;
/** Most entries in boot_params (E820_MAX_ENTRIES_ZEROPAGE). */
const ENTRY_LIMIT = 128;

/**
 * Writes a memory map into a zero page; empty ranges are left out.
 * @throws IgvmError LAYOUT_OUT_OF_RANGE when there are too many ranges
 */
export function writeE820Map(zeroPage: DataView, map: readonly E820Range[]): void {
  const ranges = map.filter(({ start, end }) => end > start);
  if (ranges.length > ENTRY_LIMIT) {
    throw new IgvmError('LAYOUT_OUT_OF_RANGE', `the memory map has ${ranges.length} ranges and holds ${ENTRY_LIMIT}`);
  }
  zeroPage.setUint8(BOOT_PARAMS.e820_entries, ranges.length);
  for (const [index, { start, end, type }] of ranges.entries()) {
    const at = BOOT_PARAMS.e820_table + index * ENTRY_SIZE;
    zeroPage.setBigUint64(at, BigInt(start), true);
    zeroPage.setBigUint64(at + 8, BigInt(end - start), true);
    zeroPage.setUint32(at + 16, type, true);
  }
}

/**
 * Reads the memory map of any zero page: types are unchecked, addresses are rounded to the nearest number, and there
 * are at most as many entries as fit.
 */
export function readE820Map(zeroPage: DataView): { start: number; end: number; type: number }[] {
  const count = Math.min(zeroPage.getUint8(BOOT_PARAMS.e820_entries), ENTRY_LIMIT);
  return Array.from({ length: count }, (_, index) => {
    const at = BOOT_PARAMS.e820_table + index * ENTRY_SIZE;
    const start = Number(zeroPage.getBigUint64(at, true));
    return { start, end: start + Number(zeroPage.getBigUint64(at + 8, true)), type: zeroPage.getUint32(at + 16, true) };
  });
}

/** The contents of the zero page. Addresses and sizes in bytes. */
export interface ZeroPageContent {
  commandLine: {
    gpa: number;
    /**
     * `cmdline_size`: the longest command line that the kernel accepts, in bytes without NUL (in boot.rst a field that
     * loaders only read). igvmfilegen writes the length of this command line instead.
     */
    size: number;
  };
  initrd?: { gpa: number; size: number };
  /** Head of the setup_data list. */
  setupData: number;
  memoryMap: readonly E820Range[];
  /** GPA of the RSDP of the image's own ACPI tables. */
  rsdpGpa?: number;
  /** Set for a bzImage, whose setup header is copied to the zero page. */
  bzImage?: BzImageInfo;
}

/** The alignment of an ELF kernel, which has no setup header: upstream's value. */
const ELF_KERNEL_ALIGNMENT = 0x100000;
/** A boot loader without a registered number. */
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
