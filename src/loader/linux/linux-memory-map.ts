import { PAGE_SIZE } from '../../memory/page';

/** Some adjacent pages of guest memory, by number and by address (GPA and size in bytes). */
export interface PagePlace {
  page: number;
  pages: number;
  gpa: number;
  size: number;
}

const place = (page: number, pages = 1): PagePlace => ({ page, pages, gpa: page * PAGE_SIZE, size: pages * PAGE_SIZE });

/*
 * Low memory of the Linux guests that start without firmware. Whoever needs an address asks here.
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
 *   0x100000   kernel, unless it is linked elsewhere; behind it the initrd
 */

/** Start of video memory and BIOS, and of the memory behind them. GPA. */
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
  /** With SNP's boot pages behind the tables. */
  acpiTables: place(0x19, 0xe0 - 0x19),
  /** Where old kernels look for it: in the BIOS's last 128 KiB. */
  rsdp: place(0xe0),
} as const satisfies Record<string, PagePlace>;
