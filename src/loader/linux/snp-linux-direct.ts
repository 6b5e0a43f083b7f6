import { hex } from '../../errors/printable';
import { IgvmError } from '../../errors/igvm-error';
import { type ByteSource, EMPTY_SOURCE } from '../../memory/byte-source';
import { alignUp, GPA_LIMIT, PAGE_SIZE, pagesFor } from '../../memory/page';
import { StructWriter } from '../../memory/struct-writer';
import { CR0, CR4, EFER, PAT_AT_RESET, type X64ValueRegisterName } from '../../vp-context/vp-register';
import { importGdt, buildIdentityMap } from '../cpu/tables-x64';
import { loadStaticElf } from '../guest/elf';
import type { ImageImporter } from '../guest/importer';
import { type LinuxLoadInfo, loadKernelAndInitrdX64 } from '../guest/kernel';
import { PROCESSOR_NAME_LIMIT } from './acpi/dsdt';
import { linuxDirectAcpiTables } from './acpi/linux-direct-tables';
import { noteCutOff, E820, linuxDirectZeroPage, HIGH_MEMORY_START, SNP_LINUX_MAP } from './linux-direct';

/** A Linux guest that runs under SNP without firmware and paravisor. */
export interface SnpLinuxDirect {
  kernel: ByteSource;
  initrd?: ByteSource;
  commandLine: string;
  /** Whether a command line that is too long for the kernel is an error. Default: false. */
  commandLineMustFit?: boolean;
  /** At least 1. */
  processorCount: number;
  /** RAM from GPA 0 on; less than 4 GiB. */
  memoryPageCount: number;
  /** Address bit that marks private memory in page tables, 32 to 51. */
  cBitPosition: number;
  /** Code that accepts, at boot, the memory that is not in the image. */
  bootShim?: ByteSource;
  /** `restricted` needs a boot shim. Default: `normal`. */
  injectionType?: 'normal' | 'restricted';
}

/** 64-bit mode with paging. */
const REGISTERS: readonly [X64ValueRegisterName, bigint][] = [
  ['cr0', CR0.PG | CR0.PE],
  ['cr3', BigInt(SNP_LINUX_MAP.pageTables.gpa)],
  ['cr4', CR4.PAE],
  ['efer', EFER.NXE | EFER.LMA | EFER.LME | EFER.SCE],
  ['pat', PAT_AT_RESET],
];

/**
 * Lays out a Linux kernel with everything that it needs to start under SNP: initrd, command line, page tables with the
 * C-bit, ACPI tables, SNP's boot pages and the zero page (openvmm igvmfilegen/src/snp_linux_direct.rs). With a boot
 * shim the image is sparse, as upstream's since August 2026: the shim accepts the remaining memory. Without one it is
 * as before: the guest builder adds that memory.
 * @throws IgvmError KERNEL_INVALID, LAYOUT_OVERLAP, LAYOUT_OUT_OF_RANGE, CONFIG_UNSUPPORTED
 */
export function loadSnpLinuxDirect(importer: ImageImporter, guest: SnpLinuxDirect): void {
  const { processorCount, commandLine, initrd, bootShim } = guest;
  const domains = bootShim === undefined ? 'each' : 'single';
  if (bootShim === undefined && guest.injectionType === 'restricted') {
    throw new IgvmError(
      'CONFIG_UNSUPPORTED',
      'snp_linux_direct needs normal injection, or the resource "snp_bootshim", which works with restricted injection',
      { jsonPath: ['isolation_type', 'snp', 'injection_type'] },
    );
  }
  const memorySize = guest.memoryPageCount * PAGE_SIZE;
  if (memorySize < HIGH_MEMORY_START) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `snp_linux_direct needs at least ${HIGH_MEMORY_START / PAGE_SIZE} pages of memory and has ${guest.memoryPageCount}`,
      { jsonPath: ['image', 'snp_linux_direct', 'memory_page_count'] },
    );
  }
  const text = new TextEncoder().encode(commandLine);
  if (text.length + 1 > SNP_LINUX_MAP.commandLine.size) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `the kernel's command line has ${text.length} bytes, and there is room for ${SNP_LINUX_MAP.commandLine.size - 1}`,
      { jsonPath: ['image', 'snp_linux_direct', 'linux', 'command_line'] },
    );
  }
  if (processorCount > PROCESSOR_NAME_LIMIT) throw tooManyProcessors(processorCount, memorySize);

  const linux = loadKernelAndInitrdX64(importer, guest.kernel, HIGH_MEMORY_START, initrd);
  const mustFitAt =
    guest.commandLineMustFit === true ? ['image', 'snp_linux_direct', 'linux', 'command_line'] : undefined;
  noteCutOff(importer, text.length, linux.bzImage?.commandLineSize, mustFitAt);
  if (linux.kernel.end > BigInt(memorySize)) {
    importer.note(
      `the kernel needs memory up to ${hex(linux.kernel.end)} to start, but memory_page_count ends it at ${hex(memorySize)}`,
    );
  }
  if (text.length > 0) {
    const terminated = new Uint8Array(text.length + 1);
    terminated.set(text);
    importer.importPages(SNP_LINUX_MAP.commandLine.page, 1, 'linux-commandline', 'exclusive', terminated);
  }
  importGdt(importer, SNP_LINUX_MAP.gdt.page);
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

  const acpi = linuxDirectAcpiTables(SNP_LINUX_MAP.acpiTables.gpa, processorCount, memorySize, domains);
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

  const entry =
    bootShim === undefined
      ? { rip: linux.kernel.entrypoint, rsi: BigInt(SNP_LINUX_MAP.zeroPage.gpa) }
      : importSnpBootShim(importer, bootShim, { linux, memoryPageCount: guest.memoryPageCount });
  if (bootShim === undefined) noteSavings(importer, guest.memoryPageCount);
  for (const [name, value] of REGISTERS) importer.setRegister({ name, value });
  importer.setRegister({ name: 'rsi', value: entry.rsi });
  importer.setRegister({ name: 'rip', value: entry.rip });
}

/** Notes what a boot shim would save: pages that are added and measured one by one. */
function noteSavings(importer: ImageImporter, pageCount: number): void {
  const free = importer.freePages(pageCount).reduce((sum, gap) => sum + gap.pageCount, 0);
  importer.note(
    `the image is dense, as igvmfilegen 1488a37b7 writes it: with the resource "snp_bootshim", ${free} of its ${pageCount} pages needn't be in it, and the guest would start faster`,
  );
}

const endOfTables = (tables: Uint8Array): number => SNP_LINUX_MAP.acpiTables.gpa + alignUp(tables.length, PAGE_SIZE);

/** The most processors whose tables, followed by SNP's pages, end below the RSDP. */
function processorLimit(memorySize: number): number {
  let fitting = 1;
  let tooMany = PROCESSOR_NAME_LIMIT + 1;
  while (tooMany - fitting > 1) {
    const count = Math.floor((fitting + tooMany) / 2);
    const { tables } = linuxDirectAcpiTables(SNP_LINUX_MAP.acpiTables.gpa, count, memorySize, 'each');
    if (endOfTables(tables) + SNP_BOOT_PAGES * PAGE_SIZE <= SNP_LINUX_MAP.rsdp.gpa) fitting = count;
    else tooMany = count;
  }
  return fitting;
}

function tooManyProcessors(count: number, memorySize: number): IgvmError {
  return new IgvmError(
    'LAYOUT_OUT_OF_RANGE',
    `the ACPI tables of ${count} processors do not fit into the guest's low memory: at most ${processorLimit(memorySize)} do`,
    {
      jsonPath: ['image', 'snp_linux_direct', 'processor_count'],
      gpa: { start: SNP_LINUX_MAP.acpiTables.gpa, end: SNP_LINUX_MAP.rsdp.gpa },
    },
  );
}

/** Number of pages that {@link importSnpBootPages} uses. */
export const SNP_BOOT_PAGES = 5;

/** "AMDE" (Linux, arch/x86/include/asm/sev.h: CC_BLOB_SEV_HDR_MAGIC). */
const CC_BLOB_MAGIC = 0x45444d41;
const SETUP_CC_BLOB = 7;
/** struct setup_data, and the blob's address that follows it here, padded to 16 bytes. */
const SETUP_DATA_LENGTH = 16;

/**
 * The pages through which Linux learns that it runs under SNP: secrets, CPUID, the confidential-computing blob that
 * points to both, the setup_data that points to the blob, and room for a VMSA (openvmm vm/loader/src/linux.rs:
 * import_snp_boot_pages).
 * @param gpa of the first page, in bytes, below 4 GiB
 * @returns GPA of the setup_data
 */
export function importSnpBootPages(importer: ImageImporter, gpa: number): number {
  const [secrets, cpuid, ccBlob, setupData, vmsa] = [0, 1, 2, 3, 4].map((page) => gpa + page * PAGE_SIZE) as [
    number,
    number,
    number,
    number,
    number,
  ];
  importer.importPages(secrets / PAGE_SIZE, 1, 'linux-snp-secrets', 'secrets', EMPTY_SOURCE);
  importer.importPages(cpuid / PAGE_SIZE, 1, 'linux-snp-cpuid', 'cpuid', EMPTY_SOURCE);
  const blob = new StructWriter()
    .u32(CC_BLOB_MAGIC)
    .u16(0, 0) // version, reserved
    .u64(secrets)
    .u32(PAGE_SIZE, 0)
    .u64(cpuid)
    .u32(PAGE_SIZE, 0)
    .finish();
  importer.importPages(ccBlob / PAGE_SIZE, 1, 'linux-snp-cc-blob', 'exclusive', blob);
  const data = new StructWriter().u64(0).u32(SETUP_CC_BLOB, SETUP_DATA_LENGTH, ccBlob, 0, 0, 0).finish();
  importer.importPages(setupData / PAGE_SIZE, 1, 'linux-snp-cc-setup-data', 'exclusive', data);
  importer.setVpContextPage(vmsa / PAGE_SIZE);
  return setupData;
}

/** Name in the map file, and in messages. */
const SHIM_TAG = 'snp-bootshim';

/**
 * The shim's parameters: one page with a header, followed by memory ranges (openvmm vm/loader/loader_defs:
 * snp_bootshim).
 */
const PARAMETERS = { magic: 'SNPBSHIM', version: 1, headerSize: 0x30, rangeSize: 16 } as const;
const MOST_RANGES = (PAGE_SIZE - PARAMETERS.headerSize) / PARAMETERS.rangeSize;

/** The kernel that the shim starts, and how much memory the guest has. */
export interface ShimmedGuest {
  linux: LinuxLoadInfo;
  /** RAM from GPA 0 on. */
  memoryPageCount: number;
}

/**
 * Loads openvmm's boot shim after everything else and gives it a list of the memory that the image doesn't contain. The
 * shim accepts that memory before it starts the kernel (openvmm igvmfilegen/src/snp_linux_direct.rs). Called when
 * everything else has been imported.
 * @returns the entry point in place of the kernel's, and the value of RSI
 * @throws IgvmError KERNEL_INVALID for a file that is not a shim, LAYOUT_OUT_OF_RANGE, LAYOUT_OVERLAP
 */
export function importSnpBootShim(
  importer: ImageImporter,
  shim: ByteSource,
  { linux, memoryPageCount }: ShimmedGuest,
): { rip: bigint; rsi: bigint } {
  const base = shimBase(importer, linux);
  const { nextAddress: parameters, entrypoint } = loadStaticElf(importer, shim, {
    startAddress: 0,
    loadOffset: base,
    assumePic: false,
    acceptance: 'exclusive',
    tag: SHIM_TAG,
  });
  if (parameters + PAGE_SIZE > memoryPageCount * PAGE_SIZE) {
    throw outOfMemory(
      `the guest's ${memoryPageCount} pages of memory are too few: with ${SHIM_TAG} and its parameters it takes at least ${parameters / PAGE_SIZE + 1}`,
      { start: base, end: parameters + PAGE_SIZE },
    );
  }
  const parameterPage = parameters / PAGE_SIZE;
  const ranges = importer.freePages(memoryPageCount).flatMap((gap) => withoutPage(gap, parameterPage));
  if (ranges.length > MOST_RANGES) {
    throw outOfMemory(
      `the memory that ${SHIM_TAG} has to accept lies in ${ranges.length} separate ranges, and its parameters have room for ${MOST_RANGES}`,
      { start: parameters, end: parameters + PAGE_SIZE },
    );
  }
  const content = new StructWriter()
    .ascii(PARAMETERS.magic)
    .u32(PARAMETERS.version, ranges.length)
    .u64(linux.kernel.entrypoint, SNP_LINUX_MAP.zeroPage.gpa, memoryPageCount * PAGE_SIZE, 0);
  for (const { pageBase, pageCount } of ranges) content.u64(pageBase, pageCount);
  importer.importPages(parameterPage, 1, 'snp-bootshim-params', 'exclusive', content.finish());
  importer.acceptAtBoot(ranges, 'snp-bootshim-accepted-ram');
  const accepted = ranges.reduce((sum, { pageCount }) => sum + pageCount, 0);
  importer.note(
    `the image is sparse, as igvmfilegen writes it since August 2026: ${SHIM_TAG} accepts ${accepted} of ${memoryPageCount} pages at boot`,
  );
  return { rip: entrypoint, rsi: BigInt(parameters) };
}

/** The first page after everything that is imported, and after the memory in which the kernel unpacks itself. GPA. */
function shimBase(importer: ImageImporter, { kernel }: LinuxLoadInfo): number {
  if (kernel.end > BigInt(GPA_LIMIT)) {
    throw new IgvmError(
      'KERNEL_INVALID',
      `linux-kernel needs memory up to ${hex(kernel.end)}, which leaves no place for ${SHIM_TAG}`,
    );
  }
  return alignUp(Math.max(importer.endOfImports(), Number(kernel.end)), PAGE_SIZE);
}

type Gap = ReturnType<ImageImporter['freePages']>[number];

/** The parts of a gap without one page. */
function withoutPage({ pageBase, pageCount }: Gap, page: number): Gap[] {
  const end = pageBase + pageCount;
  if (page < pageBase || page >= end) return [{ pageBase, pageCount }];
  return [
    { pageBase, pageCount: page - pageBase },
    { pageBase: page + 1, pageCount: end - page - 1 },
  ].filter((rest) => rest.pageCount > 0);
}

const outOfMemory = (message: string, gpa: { start: number; end: number }): IgvmError =>
  new IgvmError('LAYOUT_OUT_OF_RANGE', message, { jsonPath: ['image', 'snp_linux_direct', 'memory_page_count'], gpa });
