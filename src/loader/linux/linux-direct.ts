/** What Linux guests without firmware have in common: their low memory, the zero page and the command line. */
import { IgvmError, type JsonPath } from '../../errors/igvm-error';
import { ISOLATIONS } from '../../igvm/platforms';
import type { DirectLinuxImage } from '../../manifest/model';
import type { ByteSource } from '../../memory/byte-source';
import type { ImageImporter, IsolationConfig } from '../guest/importer';
import { PAGE_SIZE } from '../../memory/page';
import {
  BOOT_FLAG,
  BOOT_PARAMS,
  type BzImageInfo,
  HEADER_MAGIC,
  SETUP_HEADER_END,
  SETUP_HEADER_START,
} from '../formats/bzimage';

/** A Linux kernel that the VMM starts itself: no firmware, no paravisor. */
export interface DirectLinux {
  kernel: ByteSource;
  initrd?: ByteSource;
  /** The manifest's `linux` image. */
  image: DirectLinuxImage;
}

/** @throws IgvmError ISOLATION_UNSUPPORTED: a `linux` image lacks what confidential guests need at boot */
export function checkDirectLinuxIsolation(isolation: IsolationConfig['type']): void {
  if (ISOLATIONS[isolation].byProcessor) {
    const other = isolation === 'snp' ? 'snp_linux_direct or openhcl' : 'openhcl (or snp_linux_direct under snp)';
    throw new IgvmError(
      'ISOLATION_UNSUPPORTED',
      `a linux image cannot start under ${isolation}: use ${other} to run Linux there`,
      { jsonPath: ['isolation_type'] },
    );
  }
}

/** Some adjacent pages of guest memory, by number and by address (GPA and size in bytes). */
export interface PagePlace {
  page: number;
  pages: number;
  gpa: number;
  size: number;
}

const place = (page: number, pages = 1): PagePlace => ({ page, pages, gpa: page * PAGE_SIZE, size: pages * PAGE_SIZE });

/*
 * The low memory of Linux guests that start without firmware. All addresses there are defined here.
 *
 *              linux                                  snp_linux_direct
 *   0x000000   left alone                             left alone
 *   0x001000   zero page                              GDT
 *   0x002000   GDT                                    zero page
 *   0x003000   page tables (six of seven pages)       command line
 *   0x004000     :                                    page tables (six pages; room for 21, as upstream has it)
 *   0x00a000   command line                             :
 *   0x00b000   parameters of the VMM: memory map,       :
 *              MADT, SRAT, SLIT, PPTT                   :
 *   0x014000   free                                     :
 *   0x019000     :                                    ACPI tables, then SNP's boot pages
 *   0x09c000   with processor_count: ACPI tables,       :
 *              fix-up, VP_COUNT, MP table               :
 *   0x0a0000   video memory and BIOS: no RAM            :
 *   0x0e0000     :                                    RSDP
 *   0x100000   kernel, unless it is linked elsewhere; then the initrd
 */

/** Start of video memory and BIOS, and of the memory after them. GPA. */
export const LOW_MEMORY_END = 0xa0000;
export const HIGH_MEMORY_START = 0x100000;

/** The guest of image `linux`. */
export const LINUX_MAP = {
  zeroPage: place(0x1),
  gdt: place(0x2),
  pageTables: place(0x3, 7),
  commandLine: place(0xa),
  memoryMap: place(0xb, 4),
  madt: place(0xf),
  srat: place(0x10, 2),
  slit: place(0x12),
  pptt: place(0x13),
  acpiTables: place(0x9c),
  processorFixUp: place(0x9d),
  vpCount: place(0x9e),
  mpTable: place(0x9f),
} as const satisfies Record<string, PagePlace>;

/** The guest of `snp_linux_direct` (openvmm igvmfilegen/src/snp_linux_direct.rs). */
export const SNP_LINUX_MAP = {
  gdt: place(0x1),
  zeroPage: place(0x2),
  commandLine: place(0x3),
  pageTables: place(0x4, 21),
  /** Includes SNP's boot pages, which follow the tables. */
  acpiTables: place(0x19, 0xe0 - 0x19),
  /** Where old kernels look for it: in the BIOS's last 128 KiB. */
  rsdp: place(0xe0),
} as const satisfies Record<string, PagePlace>;

/** Types of memory in the e820 map (Linux, arch/x86/include/uapi/asm/setup_data.h). */
export const E820 = { RAM: 1, RESERVED: 2, ACPI: 3 } as const;

/** A range of the e820 map; bytes. */
export interface E820Range {
  start: number;
  end: number;
  type: (typeof E820)[keyof typeof E820];
}

/**
 * The e820 map of a guest with RAM from 0 to `memorySize` bytes, except for the hole below 1 MiB.
 * @param reserved start of the part of low memory that the kernel must leave alone, in bytes
 */
export function linuxMemoryMap(memorySize: number, reserved: number = LOW_MEMORY_END): E820Range[] {
  return [
    { start: 0, end: reserved, type: E820.RAM },
    { start: reserved, end: HIGH_MEMORY_START, type: E820.RESERVED },
    { start: HIGH_MEMORY_START, end: memorySize, type: E820.RAM },
  ];
}

/** Bytes of an entry of the map. */
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

/** x86 kernels have a buffer of 2048 bytes for the command line, including the NUL (Linux, COMMAND_LINE_SIZE). */
const X64_LIMIT = 2047;

const WHERE = { jsonPath: ['image', 'linux', 'command_line'] };

/**
 * The longest command line that a kernel reads, in bytes without NUL. @param kernelLimit a bzImage's own limit;
 * undefined for an ELF kernel
 */
export const commandLineLimit = (kernelLimit: number | undefined): number => kernelLimit || X64_LIMIT;

/**
 * Notes that the kernel will not read all of its command line, as upstream builds such an image. A line that contains
 * text from a file must be read completely: that text, such as a root hash, would be cut off.
 * @param length bytes without NUL
 * @param kernelLimit as for {@link encodeCommandLine}
 * @param mustFitAt the JSON path of a line that must be read completely
 * @throws IgvmError LAYOUT_OUT_OF_RANGE when such a line is too long
 */
export function noteCutOff(
  importer: ImageImporter,
  length: number,
  kernelLimit: number | undefined,
  mustFitAt?: JsonPath,
): void {
  const limit = commandLineLimit(kernelLimit);
  if (length <= limit) return;
  if (mustFitAt !== undefined) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `command_line has ${length} bytes with what "linux_command_line" adds, and the kernel takes at most ${limit}: shorten it`,
      { jsonPath: mustFitAt },
    );
  }
  importer.note(
    `command_line has ${length} bytes, and the kernel reads only the first ${limit}: the rest has no effect`,
  );
}

/**
 * A kernel's command line as the kernel reads it: UTF-8, terminated by a NUL.
 * @param kernelLimit a bzImage's own limit in bytes without NUL; undefined for an ELF kernel
 * @param room bytes of memory reserved for it
 * @throws IgvmError LAYOUT_OUT_OF_RANGE when it exceeds either limit, as the kernel would silently cut it off;
 *   CONFIG_UNSUPPORTED when it contains a NUL
 */
export function encodeCommandLine(text: string, kernelLimit: number | undefined, room: number): Uint8Array {
  const nul = text.indexOf('\0');
  if (nul >= 0) {
    throw new IgvmError(
      'CONFIG_UNSUPPORTED',
      `command_line has a NUL as character ${nul}, where the kernel would stop`,
      WHERE,
    );
  }
  const bytes = new TextEncoder().encode(text);
  const limit = Math.min(commandLineLimit(kernelLimit), room - 1);
  if (bytes.length > limit) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `command_line has ${bytes.length} bytes, and the kernel takes at most ${limit}: shorten it`,
      WHERE,
    );
  }
  const terminated = new Uint8Array(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}
