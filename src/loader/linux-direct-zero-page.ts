import { IgvmError } from '../errors/igvm-error';
import { type BzImageInfo, SETUP_HEADER_END, SETUP_HEADER_START } from './bzimage';
import { PAGE_SIZE } from '../memory/page';

/** Types of memory in the e820 map (Linux, arch/x86/include/uapi/asm/setup_data.h). */
export const E820 = { RAM: 1, RESERVED: 2, ACPI: 3 } as const;

/** A range of the e820 map; bytes. */
export interface E820Range {
  start: number;
  end: number;
  type: (typeof E820)[keyof typeof E820];
}

/** What the zero page tells the kernel. Addresses and sizes in bytes. */
export interface ZeroPageContent {
  /** Without NUL. */
  commandLine: { gpa: number; size: number };
  initrd?: { gpa: number; size: number };
  /** Head of the setup_data list. */
  setupData: number;
  memoryMap: readonly E820Range[];
  /** Of a bzImage: the kernel reads its own setup header back. */
  bzImage?: BzImageInfo;
}

/** Offsets in boot_params (Linux, Documentation/arch/x86/zero-page.rst and boot.rst). */
const FIELD = {
  e820_entries: 0x1e8,
  boot_flag: 0x1fe,
  header: 0x202,
  type_of_loader: 0x210,
  ramdisk_image: 0x218,
  ramdisk_size: 0x21c,
  cmd_line_ptr: 0x228,
  kernel_alignment: 0x230,
  cmdline_size: 0x238,
  setup_data: 0x250,
  e820_table: 0x2d0,
} as const;

const E820_ENTRY_SIZE = 20;
const E820_LIMIT = 128;

const BOOT_FLAG = 0xaa55;
const HEADER_MAGIC = 0x53726448; // "HdrS"
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
    view.setUint16(FIELD.boot_flag, BOOT_FLAG, true);
    view.setUint32(FIELD.header, HEADER_MAGIC, true);
    view.setUint32(FIELD.kernel_alignment, ELF_KERNEL_ALIGNMENT, true);
  }
  view.setUint8(FIELD.type_of_loader, LOADER_UNREGISTERED);
  view.setUint32(FIELD.cmd_line_ptr, commandLine.gpa, true);
  view.setUint32(FIELD.cmdline_size, commandLine.size, true);
  view.setUint32(FIELD.ramdisk_image, initrd?.gpa ?? 0, true);
  view.setUint32(FIELD.ramdisk_size, initrd?.size ?? 0, true);
  view.setBigUint64(FIELD.setup_data, BigInt(content.setupData), true);

  const ranges = memoryMap.filter(({ start, end }) => end > start);
  if (ranges.length > E820_LIMIT) {
    throw new IgvmError('LAYOUT_OUT_OF_RANGE', `the memory map has ${ranges.length} ranges and holds ${E820_LIMIT}`);
  }
  view.setUint8(FIELD.e820_entries, ranges.length);
  for (const [index, { start, end, type }] of ranges.entries()) {
    const at = FIELD.e820_table + index * E820_ENTRY_SIZE;
    view.setBigUint64(at, BigInt(start), true);
    view.setBigUint64(at + 8, BigInt(end - start), true);
    view.setUint32(at + 16, type, true);
  }
  return page;
}
