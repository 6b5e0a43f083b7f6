import { IgvmError } from '../errors/igvm-error';
import type { ByteSource } from '../memory/byte-source';
import { PAGE_SIZE, alignUp, pagesFor } from '../memory/page';
import type { X64ValueRegisterName } from '../vp-context/vp-register';
import { CR0, CR4, EFER, PAT_AT_RESET } from '../vp-context/x86-registers';
import { PROCESSOR_NAME_LIMIT } from './acpi/dsdt';
import { linuxDirectAcpiTables } from './acpi/linux-direct-tables';
import { importDefaultGdt } from './gdt';
import type { ImageImporter } from './importer';
import { loadKernelAndInitrdX64 } from './kernel';
import { E820 } from './e820';
import { linuxDirectZeroPage } from './linux-direct-zero-page';
import { buildIdentityMap } from './page-tables-x64';
import { SNP_BOOT_PAGES, importSnpBootPages } from './snp-boot-pages';

/** A Linux guest that needs no firmware and no paravisor under SNP. */
export interface SnpLinuxDirect {
  kernel: ByteSource;
  initrd?: ByteSource;
  commandLine: string;
  /** At least 1. */
  processorCount: number;
  /** RAM from GPA 0 on; less than 4 GiB. */
  memoryPageCount: number;
  /** Address bit that marks private memory in page tables, 32 to 51. */
  cBitPosition: number;
}

/** Memory map below 1 MiB (openvmm vm/loader/src/linux.rs). The page tables' place has room for twenty. Bytes. */
const GDT = 0x1000;
const ZERO_PAGE = 0x2000;
const COMMAND_LINE = 0x3000;
const PAGE_TABLES = 0x4000;
const ACPI_TABLES = PAGE_TABLES + 21 * PAGE_SIZE;
/** Where old kernels look for the RSDP, in the BIOS's last 128 KiB. */
const RSDP = 0xe0000;
const KERNEL = 0x100000;

/** 64-bit mode with paging. */
const REGISTERS: readonly [X64ValueRegisterName, bigint][] = [
  ['cr0', CR0.PG | CR0.PE],
  ['cr3', BigInt(PAGE_TABLES)],
  ['cr4', CR4.PAE],
  ['efer', EFER.NXE | EFER.LMA | EFER.LME | EFER.SCE],
  ['pat', PAT_AT_RESET],
  ['rsi', BigInt(ZERO_PAGE)],
];

/**
 * Lays out a Linux kernel with everything that it needs to start under SNP: initrd, command line, page tables with the
 * C-bit, ACPI tables, SNP's boot pages and the zero page (openvmm igvmfilegen/src/snp_linux_direct.rs). The guest
 * builder adds the memory that is left.
 * @throws IgvmError KERNEL_INVALID, LAYOUT_OVERLAP, LAYOUT_OUT_OF_RANGE
 */
export function loadSnpLinuxDirect(importer: ImageImporter, guest: SnpLinuxDirect): void {
  const { processorCount, commandLine, initrd } = guest;
  const memorySize = guest.memoryPageCount * PAGE_SIZE;
  if (memorySize < KERNEL) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `snp_linux_direct needs at least ${KERNEL / PAGE_SIZE} pages of memory and has ${guest.memoryPageCount}`,
      { jsonPath: 'image.snp_linux_direct.memory_page_count' },
    );
  }
  const text = new TextEncoder().encode(commandLine);
  if (text.length + 1 > PAGE_TABLES - COMMAND_LINE) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `the kernel's command line has ${text.length} bytes, and there is room for ${PAGE_TABLES - COMMAND_LINE - 1}`,
      { jsonPath: 'image.snp_linux_direct.linux.command_line' },
    );
  }
  if (processorCount > PROCESSOR_NAME_LIMIT) throw tooManyProcessors(processorCount);

  const linux = loadKernelAndInitrdX64(
    importer,
    guest.kernel,
    KERNEL,
    initrd === undefined ? undefined : { source: initrd },
  );
  if (text.length > 0) {
    const terminated = new Uint8Array(text.length + 1);
    terminated.set(text);
    importer.importPages(COMMAND_LINE / PAGE_SIZE, 1, 'linux-commandline', 'exclusive', terminated);
  }
  importDefaultGdt(importer, GDT / PAGE_SIZE);
  const pageTables = buildIdentityMap({ pageTableGpa: PAGE_TABLES, confidentialBit: guest.cBitPosition });
  importer.importPages(
    PAGE_TABLES / PAGE_SIZE,
    pageTables.length / PAGE_SIZE,
    'linux-pagetables',
    'exclusive',
    pageTables,
  );

  const acpi = linuxDirectAcpiTables(ACPI_TABLES, processorCount, memorySize);
  const acpiEnd = ACPI_TABLES + alignUp(acpi.tables.length, PAGE_SIZE);
  const snpEnd = acpiEnd + SNP_BOOT_PAGES * PAGE_SIZE;
  if (snpEnd > RSDP) throw tooManyProcessors(processorCount);
  importer.importPages(RSDP / PAGE_SIZE, 1, 'linux-rsdp', 'exclusive', acpi.rsdp);
  importer.importPages(
    ACPI_TABLES / PAGE_SIZE,
    pagesFor(acpi.tables.length),
    'linux-acpi-tables',
    'exclusive',
    acpi.tables,
  );
  const setupData = importSnpBootPages(importer, acpiEnd);
  const zeroPage = linuxDirectZeroPage({
    commandLine: { gpa: COMMAND_LINE, size: text.length },
    initrd: linux.initrd,
    setupData,
    bzImage: linux.bzImage,
    memoryMap: [
      { start: 0, end: ACPI_TABLES, type: E820.RAM },
      { start: ACPI_TABLES, end: acpiEnd, type: E820.ACPI },
      { start: acpiEnd, end: snpEnd, type: E820.RESERVED },
      { start: snpEnd, end: RSDP, type: E820.RAM },
      { start: RSDP, end: KERNEL, type: E820.RESERVED },
      { start: KERNEL, end: memorySize, type: E820.RAM },
    ],
  });
  importer.importPages(ZERO_PAGE / PAGE_SIZE, 1, 'linux-zeropage', 'exclusive', zeroPage);

  for (const [name, value] of REGISTERS) importer.setRegister({ name, value });
  importer.setRegister({ name: 'rip', value: linux.kernel.entrypoint });
}

function tooManyProcessors(count: number): IgvmError {
  return new IgvmError(
    'LAYOUT_OUT_OF_RANGE',
    `the ACPI tables of ${count} processors do not fit into the guest's low memory`,
    { jsonPath: 'image.snp_linux_direct.processor_count', gpa: { start: ACPI_TABLES, end: RSDP } },
  );
}
