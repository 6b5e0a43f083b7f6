import { hex } from '../../errors/printable';
import { IgvmError } from '../../errors/igvm-error';
import { formatMemorySize, PAGE_SIZE } from '../../memory/page';
import type { LinuxLoadInfo } from '../guest/kernel';
import { E820, type E820Range } from './zero-page';

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

/** Offset of e_entry in an ELF file. */
const ELF_ENTRY_OFFSET = 24;

/**
 * @throws IgvmError LAYOUT_OVERLAP when the kernel covers the video memory and the BIOS, where VMMs have no RAM for it
 */
export function checkKernelInRam({ kernel }: LinuxLoadInfo): void {
  const misplaced = kernel.segments.find(({ start, end }) => start < HIGH_MEMORY_START && end > LOW_MEMORY_END);
  if (misplaced !== undefined) {
    throw new IgvmError(
      'LAYOUT_OVERLAP',
      'linux-kernel covers video memory and BIOS (GPA 0xa0000-0x100000), where the guest has no RAM: use a kernel that is linked at 1 MiB or above',
      { gpa: misplaced },
    );
  }
}

/** End of the memory that is mapped when an x64 kernel starts. */
const FIRST_MAPPING_END = 2 ** 32;

/**
 * Checks that the entry point lies in the kernel and is mapped: an ELF file can contain any value.
 * @throws IgvmError KERNEL_INVALID, LAYOUT_OUT_OF_RANGE
 */
export function checkEntrypoint({ kernel }: LinuxLoadInfo): void {
  const { entrypoint, segments } = kernel;
  if (segments.length === 0) throw new IgvmError('KERNEL_INVALID', 'linux-kernel has no segment to load');
  if (!segments.some(({ start, end }) => entrypoint >= BigInt(start) && entrypoint < BigInt(end))) {
    throw new IgvmError(
      'KERNEL_INVALID',
      `linux-kernel has its entry point at ${hex(entrypoint)}, where nothing of it is loaded`,
      { offset: ELF_ENTRY_OFFSET },
    );
  }
  const high = segments.find(({ end }) => end > FIRST_MAPPING_END);
  if (high !== undefined) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      'linux-kernel reaches above 4 GiB, which the page tables that it starts with do not map: use a kernel that is linked lower',
      { gpa: high },
    );
  }
}

const MIB = 1n << 20n;

/** A size in MiB if it is a whole number of MiB, otherwise in bytes. */
const inMebibytes = (bytes: number): string => (bytes % Number(MIB) === 0 ? formatMemorySize(bytes) : `${bytes} bytes`);

/**
 * Checks the manifest's memory_size (bytes) against what is loaded.
 * @throws IgvmError LAYOUT_OUT_OF_RANGE
 */
export function checkMemorySize(memorySize: number, { kernel, initrd }: LinuxLoadInfo): void {
  const wrong = (what: string): IgvmError =>
    new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `memory_size is ${inMebibytes(memorySize)}, ${what}`,
      { jsonPath: ['image', 'linux', 'memory_size'] },
      { saysAll: true },
    );
  if (!Number.isSafeInteger(memorySize) || memorySize % PAGE_SIZE !== 0) {
    throw wrong('and has to be a multiple of 4096 bytes');
  }
  const initrdEnd = initrd === undefined ? 0n : BigInt(initrd.gpa + initrd.size);
  const [end, who] =
    initrdEnd > kernel.end ? [initrdEnd, 'the kernel and the initrd need'] : [kernel.end, 'the kernel needs'];
  // Rounded up to whole MiB, and at least one byte more than the end.
  const least = (end / MIB + 1n) * MIB;
  if (BigInt(memorySize) <= end || memorySize <= HIGH_MEMORY_START) {
    throw wrong(`and ${who} at least ${least / MIB} MiB: ${least}`);
  }
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
