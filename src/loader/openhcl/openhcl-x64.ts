import { hex } from '../../errors/printable';
import { IgvmError } from '../../errors/igvm-error';
import { ISOLATIONS } from '../../igvm/platforms';
import { EMPTY_SOURCE } from '../../memory/byte-source';
import { PAGE_SIZE, alignUp } from '../../memory/page';
import { TDX_RESET_PAGE_GPA } from '../../vp-context/tdx';
import {
  CR0,
  CR4,
  EFER,
  PAT_AT_RESET,
  TASK_REGISTER_AT_RESET,
  type X64ValueRegisterName,
} from '../../vp-context/vp-register';
import { loadStaticElf } from '../guest/elf';
import { importFileRegion } from '../guest/file-region';
import { GDT_SIZE, importGdt, buildPageTablesX64, gibTableCount, type MappedRange } from '../cpu/tables-x64';
import type { ImageImporter } from '../guest/importer';
import { LARGE_PAGE_SIZE } from '../guest/kernel';
import {
  checkMemorySuffices,
  DEFAULT_MEMORY_BASE,
  importOpenhclCommandLine,
  importShimMemory,
  mappingMemory,
  type MemoryRange,
  type OpenhclGuest,
  PERSISTED_STATE_SIZE,
  RELOCATION_LIMIT,
  requireOpenhclMemory,
  UpwardLayout,
} from './openhcl';
import { CONFIG_REGION_PAGES, importConfigParameters, importMeasuredConfig, shimParams } from './openhcl-shim-params';
import { importVtl0Config, loadVtl0Image } from './openhcl-vtl0';
import { PARAVISOR_CPUID_LEAVES, snpCpuidPage } from '../cpu/cpuid';

/**
 * SNP's own pages, which the kernel must not use, by their offsets in pages. They are laid out for every isolation
 * type.
 */
const RESERVED = { VMSA: 0, CPUID: 1, SECRETS: 3, PAGES: 4 };

/** Mapped for SNP and TDX: the boot shim uses it to reach pages that have no other mapping. */
const LOCAL_MAP: MappedRange = { what: "the boot shim's window", start: 0x200000, end: 0x400000 };
/** Mapped for TDX: the code that it starts with. */
const RESET_VECTOR: MappedRange = {
  what: 'the page where processors start under TDX',
  start: TDX_RESET_PAGE_GPA,
  end: TDX_RESET_PAGE_GPA + PAGE_SIZE,
};

/** XCR0 that SNP assumes when it reports extended state: x87 only. */
const CPUID_XFEM = 1;

/** The C-bit of every SNP processor with a paravisor (openvmm vm/loader/src/paravisor.rs). */
const SNP_C_BIT = 51;

/** The boot shim's GDT: two null descriptors, code, data. */
const GDT = { codeSelector: 0x10, dataSelector: 0x18, tag: 'underhill-gdt' };

/**
 * Lays out OpenHCL on x64, upwards from the start of its memory: space for persisted state, a bounce buffer (SNP and
 * TDX), kernel, sidecar, boot shim, initrd, GDT, shim parameters, command line, SNP's pages, the configuration region,
 * the shim's log and heap, page tables (openvmm vm/loader/src/paravisor.rs: load_openhcl_x64).
 * @throws IgvmError KERNEL_INVALID, FIRMWARE_INVALID, CONFIG_UNSUPPORTED, LAYOUT_OVERLAP, LAYOUT_OUT_OF_RANGE
 */
export function loadOpenhclX64(importer: ImageImporter, guest: OpenhclGuest): void {
  const { isolation } = importer;
  const isHardwareIsolated = ISOLATIONS[isolation.type].byProcessor;
  if (isolation.type === 'snp' && !isolation.paravisorPresent) {
    throw new IgvmError('CONFIG_UNSUPPORTED', 'openhcl needs max_vtl 2 under snp: GPA 0 is taken without a paravisor', {
      jsonPath: ['max_vtl'],
    });
  }
  const vtl0 = loadVtl0Image(importer, guest.vtl0);
  const memory = requireOpenhclMemory(importer, guest);

  const layout = new UpwardLayout(memory.gpa);
  const persistedState = layout.take(PERSISTED_STATE_SIZE);
  const bounceBuffer = isHardwareIsolated ? layout.take(LARGE_PAGE_SIZE) : undefined;
  // Large parts are shared, so that they load fast: the shim accepts them and checks their hashes.
  const acceptance = isHardwareIsolated ? 'shared' : 'exclusive';
  const kernel = loadStaticElf(importer, guest.kernel, {
    startAddress: layout.next,
    loadOffset: 0,
    assumePic: true,
    acceptance,
    tag: 'underhill-kernel',
  });
  layout.next = kernel.nextAddress;
  const sidecar = guest.sidecar === undefined ? undefined : loadSidecar(importer, guest.sidecar, layout.next);
  if (sidecar !== undefined) layout.next = sidecar.gpa + sidecar.size;
  const absentSidecar = { gpa: layout.next, size: 0, entry: 0n };
  const shim = loadStaticElf(importer, guest.bootShim, {
    startAddress: 0,
    loadOffset: layout.next,
    assumePic: false,
    acceptance: 'exclusive',
    tag: 'underhill-boot-shim',
  });
  layout.next = shim.nextAddress;
  const initrd = { gpa: layout.next, size: guest.initrd.size };
  importFileRegion(importer, {
    source: guest.initrd,
    offset: 0,
    length: initrd.size,
    gpa: initrd.gpa,
    memoryLength: initrd.size,
    acceptance,
    tag: 'underhill-initrd',
  });
  layout.take(alignUp(initrd.size, PAGE_SIZE));
  const gdt = layout.take(GDT_SIZE);
  const params = layout.take(PAGE_SIZE);
  const commandLine = layout.take(PAGE_SIZE);
  importOpenhclCommandLine(importer, commandLine.gpa, guest);
  const reserved = layout.take(RESERVED.PAGES * PAGE_SIZE);
  const parameters = layout.take(CONFIG_REGION_PAGES * PAGE_SIZE);
  const { logBuffer, heap } = importShimMemory(importer, layout.next);
  layout.take(logBuffer.size + heap.size);

  const tables = layout.take(pageTablePages(importer, memory) * PAGE_SIZE);
  checkMemorySuffices(memory, layout.next);
  noteUnusableMemory(importer, memory);
  if (isolation.type === 'tdx' && tables.gpa >= 2 ** 32) throw tablesTooHigh(tables);
  const tableBytes = mappingMemory(guest, () =>
    buildPageTablesX64({
      pageTableGpa: tables.gpa,
      ranges: mappedRanges(importer, memory),
      confidentialBit: isolation.type === 'snp' ? SNP_C_BIT : undefined,
    }),
  );
  if (isolation.type === 'none' && guest.memoryPageBase === undefined) {
    importer.relocationRegion({
      gpa: memory.gpa,
      size: tables.gpa - memory.gpa,
      alignment: LARGE_PAGE_SIZE,
      minimumGpa: DEFAULT_MEMORY_BASE,
      maximumGpa: RELOCATION_LIMIT,
      applyPc: true,
      applyGdtr: true,
      vpIndex: 0,
    });
    importer.pageTableRelocation(tables.gpa, tables.size / PAGE_SIZE, tableBytes.length / PAGE_SIZE, 0);
  }
  const shimParameters = shimParams(importer, {
    shimBase: shim.minimumAddress,
    kernelEntry: kernel.entrypoint,
    commandLine: commandLine.gpa,
    initrd,
    memory,
    parameters,
    reserved,
    sidecar: sidecar ?? absentSidecar,
    usedEnd: layout.next,
    bounceBuffer,
    logBuffer,
    heap,
    persistedState,
  });
  importer.importPages(params.gpa / PAGE_SIZE, 1, 'underhill-shim-params', 'exclusive', shimParameters);
  importer.importPages(
    tables.gpa / PAGE_SIZE,
    tables.size / PAGE_SIZE,
    'underhill-page-tables',
    'exclusive',
    tableBytes,
  );
  importGdt(importer, gdt.gpa / PAGE_SIZE, GDT);
  // Without it, enabling VTL2 leaves TR at zero on some hosts.
  importer.setRegister({ name: 'tr', segment: TASK_REGISTER_AT_RESET });
  const registers: [X64ValueRegisterName, bigint][] = [
    ['cr0', CR0.PG | CR0.NE | CR0.PE],
    ['cr3', BigInt(tables.gpa)],
    ['cr4', CR4.PAE | CR4.MCE | CR4.OSXSAVE],
    ['efer', EFER.NXE | EFER.LMA | EFER.LME],
    ['pat', PAT_AT_RESET],
    ['rsi', BigInt(params.gpa - shim.minimumAddress)],
    ['rip', shim.entrypoint],
  ];
  for (const [name, value] of registers) importer.setRegister({ name, value });

  const configPage = parameters.gpa / PAGE_SIZE;
  importConfigParameters(importer, configPage);
  if (isolation.type === 'snp') importSnpPages(importer, reserved.gpa / PAGE_SIZE);
  importVtl0Config(importer, vtl0);
  importMeasuredConfig(importer, configPage, isolation.sharedGpaBoundaryBits ?? 0, guest.productPolicy);
}

/** The sidecar's memory starts at the next 2 MiB boundary. */
function loadSidecar(
  importer: ImageImporter,
  sidecar: OpenhclGuest['kernel'],
  nextAddress: number,
): MemoryRange & { entry: bigint } {
  const gpa = alignUp(nextAddress, LARGE_PAGE_SIZE);
  const elf = loadStaticElf(importer, sidecar, {
    startAddress: 0,
    loadOffset: gpa,
    assumePic: false,
    acceptance: 'exclusive',
    tag: 'sidecar-kernel',
  });
  return { gpa, size: elf.nextAddress - gpa, entry: elf.entrypoint };
}

/**
 * Pages reserved for page tables: five, and two for each GiB that the memory touches, so that it can be relocated
 * across any boundary; more for the local map, and three for the reset vector.
 */
function pageTablePages(importer: ImageImporter, memory: MemoryRange): number {
  const { type } = importer.isolation;
  const localMap = ISOLATIONS[type].byProcessor ? 1 : 0;
  const resetVector = type === 'tdx' ? 3 : 0;
  return 5 + 2 * gibTableCount(memory.gpa, memory.size) + localMap + resetVector;
}

/** End of the lower half of the addresses that 4-level page tables map; above it, none is mapped to itself. */
const CANONICAL_END = 2 ** 47;

/** Upstream builds OpenHCL at any address, and so do we. */
function noteUnusableMemory(importer: ImageImporter, { gpa, size }: MemoryRange): void {
  const end = gpa + size;
  const { type, sharedGpaBoundaryBits: bits } = importer.isolation;
  const reaches = `the memory of openhcl reaches up to ${hex(end)}`;
  if (end > CANONICAL_END) {
    importer.note(
      `${reaches}, and page tables can map no address from ${hex(CANONICAL_END)} on to itself: it cannot run there`,
    );
  }
  if (type === 'snp' && bits !== undefined && end > 2 ** (bits % 64)) {
    importer.note(
      `${reaches}, and all memory from the shared GPA boundary ${hex(2 ** (bits % 64))} on is shared with the host`,
    );
  }
}

/** Processors load CR3 before they enter 64-bit mode. */
function tablesTooHigh({ gpa, size }: MemoryRange): IgvmError {
  return new IgvmError(
    'LAYOUT_OUT_OF_RANGE',
    'under TDX openhcl has to lie below 4 GiB, where processors start: choose a lower memory_page_base',
    { jsonPath: ['image', 'openhcl', 'memory_page_base'], gpa: { start: gpa, end: gpa + size } },
  );
}

/** What the page tables map, by ascending address. */
function mappedRanges(importer: ImageImporter, memory: MemoryRange): MappedRange[] {
  const { type } = importer.isolation;
  const ranges: MappedRange[] = [{ what: 'the memory of openhcl', start: memory.gpa, end: memory.gpa + memory.size }];
  if (ISOLATIONS[type].byProcessor) ranges.push(LOCAL_MAP);
  if (type === 'tdx') ranges.push(RESET_VECTOR);
  return ranges.sort((a, b) => a.start - b.start);
}

/** Secrets, CPUID and the page of the boot processor's VMSA. */
function importSnpPages(importer: ImageImporter, basePage: number): void {
  importer.importPages(basePage + RESERVED.SECRETS, 1, 'underhill-snp-secrets-page', 'secrets', EMPTY_SOURCE);
  const cpuid = snpCpuidPage(PARAVISOR_CPUID_LEAVES, CPUID_XFEM);
  importer.importPages(basePage + RESERVED.CPUID, 1, 'underhill-snp-cpuid-page', 'cpuid', cpuid);
  importer.importPages(
    basePage + RESERVED.CPUID + 1,
    1,
    'underhill-snp-cpuid-extended-state-page',
    'cpuidExtendedState',
    EMPTY_SOURCE,
  );
  importer.setVpContextPage(basePage + RESERVED.VMSA);
}
