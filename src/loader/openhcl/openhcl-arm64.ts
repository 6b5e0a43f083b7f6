import { IgvmError, unreachable } from '../../errors/igvm-error';
import { PAGE_SIZE, alignUp } from '../../memory/page';
import {
  type Arm64RegisterName,
  CPSR_EL1H,
  memoryAttributes,
  SCTLR_MMU_AND_CACHES,
} from '../../vp-context/vp-register';
import { loadStaticElf } from '../guest/elf';
import type { ImageImporter } from '../guest/importer';
import { LARGE_PAGE_SIZE, loadKernelAndInitrdArm64 } from '../guest/kernel';
import {
  checkMemorySuffices,
  DEFAULT_MEMORY_BASE,
  importOpenhclCommandLine,
  importShimMemory,
  mappingMemory,
  type OpenhclGuest,
  PERSISTED_STATE_SIZE,
  RELOCATION_LIMIT,
  requireOpenhclMemory,
  UpwardLayout,
} from './openhcl';
import { CONFIG_REGION_PAGES, importConfigParameters, importMeasuredConfig, shimParams } from './openhcl-shim-params';
import { importVtl0Config, loadVtl0Image } from './openhcl-vtl0';
import { buildIdentityMapArm64 } from '../cpu/page-tables-arm64';

/** Pages reserved for page tables: the most that the mapping needs, and twice as many for relocation. */
const PAGE_TABLE_PAGES = 15;

/** MAIR_EL1, attribute 0 first: device, non-cacheable, write-through, write-back; the rest is device. */
const MEMORY_TYPES = [0x00, 0x44, 0xbb, 0xff];
const WRITE_BACK_INDEX = MEMORY_TYPES.indexOf(0xff);

/**
 * TCR_EL1: T0SZ 17, inner shareable write-back walks, no walks in the upper half (but its granule is set to 4 KiB, for
 * Cortex erratum 822227), 48-bit physical addresses.
 */
const TCR = 17n | (1n << 8n) | (1n << 10n) | (3n << 12n) | (1n << 23n) | (2n << 30n) | (5n << 32n);

/**
 * Lays out OpenHCL on aarch64, upwards from the start of its memory: space for persisted state, kernel, initrd, boot
 * shim, command line, shim parameters, the configuration region, the shim's log and heap, page tables (openvmm
 * vm/loader/src/paravisor.rs: load_openhcl_arm64). Without a base address it can be relocated under VBS, too.
 * @throws IgvmError KERNEL_INVALID, FIRMWARE_INVALID, CONFIG_UNSUPPORTED, LAYOUT_OVERLAP, LAYOUT_OUT_OF_RANGE
 */
export function loadOpenhclArm64(importer: ImageImporter, guest: OpenhclGuest): void {
  if (guest.vtl0.kind === 'none') {
    throw new IgvmError('CONFIG_UNSUPPORTED', 'openhcl on aarch64 needs uefi or linux to start in VTL0', {
      jsonPath: ['image', 'openhcl'],
    });
  }
  const vtl0 = loadVtl0Image(importer, guest.vtl0);
  const memory = requireOpenhclMemory(importer, guest);

  const layout = new UpwardLayout(memory.gpa);
  const persistedState = layout.take(PERSISTED_STATE_SIZE);
  const linux = loadKernelAndInitrdArm64(importer, guest.kernel, layout.next, guest.initrd, 'underhill-kernel');
  const initrd = linux.initrd ?? unreachable('an initrd that was given is not placed');
  const shim = loadStaticElf(importer, guest.bootShim, {
    startAddress: 0,
    loadOffset: alignUp(initrd.gpa + initrd.size, PAGE_SIZE),
    assumePic: false,
    acceptance: 'exclusive',
    tag: 'underhill-boot-shim',
  });
  layout.next = shim.nextAddress;
  const commandLine = layout.take(PAGE_SIZE);
  importOpenhclCommandLine(importer, commandLine.gpa, guest);
  const params = layout.take(PAGE_SIZE);
  const parameters = layout.take(CONFIG_REGION_PAGES * PAGE_SIZE);
  const { logBuffer, heap } = importShimMemory(importer, layout.next);
  layout.take(logBuffer.size + heap.size);
  const tables = layout.take(PAGE_TABLE_PAGES * PAGE_SIZE);
  checkMemorySuffices(memory, layout.next);

  const shimParameters = shimParams(importer, {
    shimBase: shim.minimumAddress,
    kernelEntry: linux.kernel.entrypoint,
    commandLine: commandLine.gpa,
    initrd,
    memory,
    parameters,
    usedEnd: layout.next,
    logBuffer,
    heap,
    persistedState,
  });
  importer.importPages(params.gpa / PAGE_SIZE, 1, 'underhill-shim-params', 'exclusive', shimParameters);
  importVtl0Config(importer, vtl0);
  const tableBytes = mappingMemory(guest, () =>
    buildIdentityMapArm64({
      pageTableGpa: tables.gpa,
      start: memory.gpa,
      size: memory.size,
      attributeIndex: WRITE_BACK_INDEX,
      capacity: tables.size,
    }),
  );
  if (guest.memoryPageBase === undefined) {
    importer.relocationRegion({
      gpa: memory.gpa,
      size: tables.gpa - memory.gpa,
      alignment: LARGE_PAGE_SIZE,
      minimumGpa: DEFAULT_MEMORY_BASE,
      maximumGpa: RELOCATION_LIMIT,
      applyPc: true,
      applyGdtr: false,
      vpIndex: 0,
    });
    importer.pageTableRelocation(tables.gpa, tables.size / PAGE_SIZE, tableBytes.length / PAGE_SIZE, 0);
  }
  importer.importPages(
    tables.gpa / PAGE_SIZE,
    tables.size / PAGE_SIZE,
    'underhill-page-tables',
    'exclusive',
    tableBytes,
  );
  const registers: [Arm64RegisterName, bigint][] = [
    ['x0', BigInt(params.gpa - shim.minimumAddress)],
    ['pc', shim.entrypoint],
    ['cpsr', CPSR_EL1H],
    ['sctlrEl1', SCTLR_MMU_AND_CACHES],
    ['tcrEl1', TCR],
    ['mairEl1', memoryAttributes(MEMORY_TYPES)],
    ['ttbr0El1', BigInt(tables.gpa)],
    ['vbarEl1', 0n],
  ];
  for (const [name, value] of registers) importer.setRegister({ name, value });
  const configPage = parameters.gpa / PAGE_SIZE;
  importConfigParameters(importer, configPage);
  importMeasuredConfig(importer, configPage, 0, guest.productPolicy);
}
