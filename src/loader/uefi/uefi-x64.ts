import { IgvmError } from '../../errors/igvm-error';
import { type ByteSource, EMPTY_SOURCE } from '../../memory/byte-source';
import { isUefiBoundary, PAGE_SIZE, UEFI_BOUNDARY_BITS } from '../../memory/page';
import {
  CR0,
  CR4,
  EFER,
  MTRR_DEFAULT_TYPE,
  MTRR_WRITE_BACK,
  PAT_AT_RESET,
  type X64ValueRegisterName,
} from '../../vp-context/vp-register';
import { SEC_VOLUME_OFFSET, secEntryPointOffset } from '../formats/firmware-volume';
import { GDT_SIZE, importGdt, buildIdentityMap } from '../cpu/tables-x64';
import type { ImageImporter } from '../guest/importer';
import { isolationCpuid } from '../cpu/cpuid';
import { checkFirmwareSize, importUefiParameters, type UefiConfigType, type UefiLoadInfo } from './uefi';

/** Memory map, from 1 MiB on without gaps (openvmm vm/loader/src/uefi/mod.rs, mod x86_64). Bytes. */
const IMAGE_SIZE = 0x600000;
const IMAGE_BASE = 0x100000;
const PAGE_TABLES = IMAGE_BASE + IMAGE_SIZE;
const PAGE_TABLES_SIZE = 6 * PAGE_SIZE;
const GDT_BASE = PAGE_TABLES + PAGE_TABLES_SIZE;
const MISC_BASE = GDT_BASE + GDT_SIZE;
const MISC_SIZE = 2 * PAGE_SIZE;
const CONFIG_BASE = MISC_BASE + MISC_SIZE;

/**
 * Lays out UEFI for Hyper-V on x64. Without a paravisor, an SNP guest also maps the first 4 GiB above its shared GPA
 * boundary, so that the firmware can share memory before it has its own page tables. Firmware whose entry point is
 * outside of it is built as in upstream, with a note.
 * @throws IgvmError FIRMWARE_INVALID, CONFIG_UNSUPPORTED
 */
export function loadUefiX64(importer: ImageImporter, image: ByteSource, config: UefiConfigType): UefiLoadInfo {
  checkFirmwareSize(image, IMAGE_SIZE);
  const entryPoint = secEntryPointOffset(image);
  if (entryPoint >= IMAGE_SIZE) {
    importer.note('the entry point of the UEFI firmware lies outside the firmware: the guest cannot start');
  }
  const { isolation } = importer;
  const isSnp = isolation.type === 'snp';
  if (config === 'igvm' && isSnp && isolation.paravisorPresent) {
    throw new IgvmError(
      'CONFIG_UNSUPPORTED',
      'under SNP, UEFI takes its configuration from IGVM parameters only when there is no paravisor (max_vtl 0)',
      { jsonPath: ['image', 'uefi', 'config_type'] },
    );
  }
  const sharedBoundary = isSnp && !isolation.paravisorPresent ? sharedGpaBoundary(importer) : undefined;
  const sharedTablesGpa = CONFIG_BASE + PAGE_SIZE;
  const sharedTables =
    sharedBoundary === undefined
      ? new Uint8Array(0)
      : buildIdentityMap({ pageTableGpa: sharedTablesGpa, addressBias: sharedBoundary });
  const tables = buildIdentityMap({
    pageTableGpa: PAGE_TABLES,
    pml4Link: sharedBoundary === undefined ? undefined : { tableGpa: sharedTablesGpa, address: sharedBoundary },
  });

  importer.importPages(IMAGE_BASE / PAGE_SIZE, IMAGE_SIZE / PAGE_SIZE, 'uefi-image', 'exclusive', image);
  importer.importPages(PAGE_TABLES / PAGE_SIZE, PAGE_TABLES_SIZE / PAGE_SIZE, 'uefi-page-tables', 'exclusive', tables);
  importGdt(importer, GDT_BASE / PAGE_SIZE);
  importer.importPages(MISC_BASE / PAGE_SIZE, MISC_SIZE / PAGE_SIZE, 'uefi-misc-pages', 'exclusive', EMPTY_SOURCE);
  const configPages = config === 'igvm' ? importUefiParameters(importer, CONFIG_BASE / PAGE_SIZE, sharedTables) : 0;

  const end = CONFIG_BASE + configPages * PAGE_SIZE;
  importer.requireMemory(0, end / PAGE_SIZE, { vtl2Protectable: false });

  const cpuid = isolationCpuid(isolation);
  const registers: [X64ValueRegisterName, bigint][] = [
    ['cr0', CR0.PG | CR0.NE | CR0.MP | CR0.PE],
    ['cr3', BigInt(PAGE_TABLES)],
    ['cr4', CR4.PAE | CR4.MCE | CR4.OSFXSR | CR4.OSXMMEXCPT],
    ['efer', EFER.NXE | EFER.LMA | EFER.LME],
    ['pat', PAT_AT_RESET],
    ['rbp', BigInt(IMAGE_BASE + SEC_VOLUME_OFFSET)],
    ['rip', BigInt(IMAGE_BASE + entryPoint)],
    ['r8', BigInt(cpuid.eax)],
    ['r9', BigInt(cpuid.ebx)],
    ['r10', 0n],
    ['r11', 0n],
    // The lowest 640 KiB are write-back. SNP and TDX contexts have no MTRRs, and UEFI then does without them.
    ['mtrrDefType', MTRR_DEFAULT_TYPE],
    ['mtrrFix64k00000', MTRR_WRITE_BACK],
    ['mtrrFix16k80000', MTRR_WRITE_BACK],
  ];
  for (const [name, value] of registers) {
    if (!name.startsWith('mtrr') || importer.canHoldRegister(name)) importer.setRegister({ name, value });
  }
  // Upstream also counts the pages below the image.
  return { firmwareBase: IMAGE_BASE, totalSize: end };
}

function sharedGpaBoundary(importer: ImageImporter): bigint {
  const bits = importer.isolation.sharedGpaBoundaryBits;
  if (bits === undefined || !isUefiBoundary(bits)) {
    const { lowest, highest } = UEFI_BOUNDARY_BITS;
    throw new IgvmError(
      'CONFIG_UNSUPPORTED',
      `UEFI under SNP without a paravisor needs shared_gpa_boundary_bits from ${lowest} to ${highest} and has ${bits ?? 'none'}`,
      { jsonPath: ['isolation_type', 'snp', 'shared_gpa_boundary_bits'] },
    );
  }
  return 1n << BigInt(bits % 64);
}
