import { hex } from '../../errors/hex';
import { IgvmError } from '../../errors/igvm-error';
import type { ByteSource } from '../../memory/byte-source';
import { PAGE_SIZE, alignUp, pagesFor } from '../../memory/page';
import type { X64ValueRegisterName } from '../../vp-context/vp-register';
import { CR0, CR4, EFER, PAT_AT_RESET } from '../../vp-context/x86-registers';
import { PROCESSOR_NAME_LIMIT } from './acpi/dsdt';
import { linuxDirectAcpiTables } from './acpi/linux-direct-tables';
import { importDefaultGdt } from '../cpu/gdt';
import type { ImageImporter } from '../guest/importer';
import { loadKernelAndInitrdX64 } from '../guest/kernel';
import { E820 } from './e820';
import { noteCutOff } from './linux-command-line';
import { linuxDirectZeroPage } from './linux-direct-zero-page';
import { HIGH_MEMORY_START, SNP_LINUX_MAP } from './linux-memory-map';
import { buildIdentityMap } from '../cpu/page-tables-x64';
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

/** 64-bit mode with paging. */
const REGISTERS: readonly [X64ValueRegisterName, bigint][] = [
  ['cr0', CR0.PG | CR0.PE],
  ['cr3', BigInt(SNP_LINUX_MAP.pageTables.gpa)],
  ['cr4', CR4.PAE],
  ['efer', EFER.NXE | EFER.LMA | EFER.LME | EFER.SCE],
  ['pat', PAT_AT_RESET],
  ['rsi', BigInt(SNP_LINUX_MAP.zeroPage.gpa)],
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
  if (memorySize < HIGH_MEMORY_START) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `snp_linux_direct needs at least ${HIGH_MEMORY_START / PAGE_SIZE} pages of memory and has ${guest.memoryPageCount}`,
      { jsonPath: 'image.snp_linux_direct.memory_page_count' },
    );
  }
  const text = new TextEncoder().encode(commandLine);
  if (text.length + 1 > SNP_LINUX_MAP.commandLine.size) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `the kernel's command line has ${text.length} bytes, and there is room for ${SNP_LINUX_MAP.commandLine.size - 1}`,
      { jsonPath: 'image.snp_linux_direct.linux.command_line' },
    );
  }
  if (processorCount > PROCESSOR_NAME_LIMIT) throw tooManyProcessors(processorCount, memorySize);

  const linux = loadKernelAndInitrdX64(importer, guest.kernel, HIGH_MEMORY_START, initrd);
  noteCutOff(importer, text.length, linux.bzImage?.commandLineSize);
  if (linux.kernel.end > BigInt(memorySize)) {
    importer.note(
      `the kernel needs memory up to ${hex(linux.kernel.end)} to start, and memory_page_count ends it at ${hex(memorySize)}`,
    );
  }
  if (text.length > 0) {
    const terminated = new Uint8Array(text.length + 1);
    terminated.set(text);
    importer.importPages(SNP_LINUX_MAP.commandLine.page, 1, 'linux-commandline', 'exclusive', terminated);
  }
  importDefaultGdt(importer, SNP_LINUX_MAP.gdt.page);
  const pageTables = buildIdentityMap({
    pageTableGpa: SNP_LINUX_MAP.pageTables.gpa,
    confidentialBit: guest.cBitPosition,
  });
  importer.importPages(
    SNP_LINUX_MAP.pageTables.page,
    pageTables.length / PAGE_SIZE,
    'linux-pagetables',
    'exclusive',
    pageTables,
  );

  const acpi = linuxDirectAcpiTables(SNP_LINUX_MAP.acpiTables.gpa, processorCount, memorySize);
  const acpiEnd = endOfTables(acpi.tables);
  const snpEnd = acpiEnd + SNP_BOOT_PAGES * PAGE_SIZE;
  if (snpEnd > SNP_LINUX_MAP.rsdp.gpa) throw tooManyProcessors(processorCount, memorySize);
  importer.importPages(SNP_LINUX_MAP.rsdp.page, 1, 'linux-rsdp', 'exclusive', acpi.rsdp);
  importer.importPages(
    SNP_LINUX_MAP.acpiTables.page,
    pagesFor(acpi.tables.length),
    'linux-acpi-tables',
    'exclusive',
    acpi.tables,
  );
  const setupData = importSnpBootPages(importer, acpiEnd);
  const zeroPage = linuxDirectZeroPage({
    commandLine: { gpa: SNP_LINUX_MAP.commandLine.gpa, size: text.length },
    initrd: linux.initrd,
    setupData,
    bzImage: linux.bzImage,
    memoryMap: [
      { start: 0, end: SNP_LINUX_MAP.acpiTables.gpa, type: E820.RAM },
      { start: SNP_LINUX_MAP.acpiTables.gpa, end: acpiEnd, type: E820.ACPI },
      { start: acpiEnd, end: snpEnd, type: E820.RESERVED },
      { start: snpEnd, end: SNP_LINUX_MAP.rsdp.gpa, type: E820.RAM },
      { start: SNP_LINUX_MAP.rsdp.gpa, end: HIGH_MEMORY_START, type: E820.RESERVED },
      { start: HIGH_MEMORY_START, end: memorySize, type: E820.RAM },
    ],
  });
  importer.importPages(SNP_LINUX_MAP.zeroPage.page, 1, 'linux-zeropage', 'exclusive', zeroPage);

  for (const [name, value] of REGISTERS) importer.setRegister({ name, value });
  importer.setRegister({ name: 'rip', value: linux.kernel.entrypoint });
}

const endOfTables = (tables: Uint8Array): number => SNP_LINUX_MAP.acpiTables.gpa + alignUp(tables.length, PAGE_SIZE);

/** The most processors whose tables, with SNP's pages behind, end below the RSDP. */
function processorLimit(memorySize: number): number {
  let fitting = 1;
  let tooMany = PROCESSOR_NAME_LIMIT + 1;
  while (tooMany - fitting > 1) {
    const count = Math.floor((fitting + tooMany) / 2);
    const { tables } = linuxDirectAcpiTables(SNP_LINUX_MAP.acpiTables.gpa, count, memorySize);
    if (endOfTables(tables) + SNP_BOOT_PAGES * PAGE_SIZE <= SNP_LINUX_MAP.rsdp.gpa) fitting = count;
    else tooMany = count;
  }
  return fitting;
}

function tooManyProcessors(count: number, memorySize: number): IgvmError {
  return new IgvmError(
    'LAYOUT_OUT_OF_RANGE',
    `the ACPI tables of ${count} processors do not fit into the guest's low memory: ${processorLimit(memorySize)} are the most`,
    {
      jsonPath: 'image.snp_linux_direct.processor_count',
      gpa: { start: SNP_LINUX_MAP.acpiTables.gpa, end: SNP_LINUX_MAP.rsdp.gpa },
    },
  );
}
