import { IgvmError } from '../../errors/igvm-error';
import type { ParameterKind } from '../../igvm/model';
import { type ByteSource, EMPTY_SOURCE } from '../../memory/byte-source';
import { PAGE_SIZE, pagesFor } from '../../memory/page';
import { StructWriter } from '../../memory/struct-writer';
import { TDX_RESET_PAGE_GPA } from '../../vp-context/tdx';
import { snpCpuidPage, UEFI_CPUID_LEAVES } from '../cpu/cpuid';
import type { ImageImporter } from '../guest/importer';

/** Where UEFI gets its configuration from: a paravisor, which supplies it later, or IGVM parameters. */
export type UefiConfigType = 'none' | 'igvm';

/** Where UEFI lies, for a paravisor that has to start it. Bytes. */
export interface UefiLoadInfo {
  firmwareBase: number;
  /**
   * From `firmwareBase` to the end of the memory that the loader uses, by upstream's calculation, which on x64 is 1 MiB
   * too much.
   */
  totalSize: number;
}

/** @throws IgvmError FIRMWARE_INVALID unless the image has the fixed size of this firmware. */
export function checkFirmwareSize(image: ByteSource, size: number): void {
  if (image.size !== size) {
    throw new IgvmError(
      'FIRMWARE_INVALID',
      `the UEFI firmware has ${image.size} bytes, and firmware for this architecture always has ${size}`,
    );
  }
}

/** Pages of each table that the VMM fills. */
const TABLE_PAGES = 20;

/** The page of the VP context that UEFI is given if it is not in this region: the place under TDX. */
const OTHER_VP_CONTEXT_PAGE = TDX_RESET_PAGE_GPA / PAGE_SIZE;

/**
 * Lays out the configuration region of UEFI with IGVM parameters: a page with the places of the others, page tables for
 * shared memory, parameter areas for the VMM, scratch memory, and under SNP two CPUID pages (openvmm
 * vm/loader/src/uefi/mod.rs: set_igvm_parameters).
 * @param sharedPageTables bytes, whole pages; empty without a shared GPA boundary
 * @returns pages used from `basePage` on
 */
export function importUefiParameters(importer: ImageImporter, basePage: number, sharedPageTables: Uint8Array): number {
  let pages = 1;
  /** Allocates the next `count` pages; returns their offset in pages from `basePage`. */
  const allocate = (count: number): number => {
    pages += count;
    return pages - count;
  };
  const sharedTablePages = pagesFor(sharedPageTables.length);
  const sharedTables = allocate(sharedTablePages);
  const loaderBlock = allocate(1);
  const commandLine = allocate(1);
  const memoryMap = allocate(TABLE_PAGES);
  const madt = allocate(TABLE_PAGES);
  const srat = allocate(TABLE_PAGES);
  const scratch = allocate(TABLE_PAGES);
  let cpuidPages = 0;
  let vpContextPage = OTHER_VP_CONTEXT_PAGE;

  if (importer.isolation.type === 'snp') {
    // UEFI looks for this region before it can parse anything.
    importer.setRegister({ name: 'r12', value: BigInt(basePage * PAGE_SIZE) });
    cpuidPages = allocate(2);
    importer.importPages(basePage + cpuidPages, 1, 'uefi-cpuid-page', 'cpuid', snpCpuidPage(UEFI_CPUID_LEAVES, 0));
    importer.importPages(basePage + cpuidPages + 1, 1, 'uefi-cpuid-extended-page', 'cpuidExtendedState', EMPTY_SOURCE);
    // After the region and not part of it, as it is protected differently.
    vpContextPage = basePage + pages;
    importer.setVpContextPage(vpContextPage);
  }

  /** UEFI_IGVM_PARAMETER_INFO: the region's size, then where its parts are and their sizes, all in pages. */
  const info = new StructWriter()
    .u32(pages, cpuidPages)
    .u64(vpContextPage)
    .u32(loaderBlock, commandLine, 1)
    .u32(memoryMap, TABLE_PAGES, madt, TABLE_PAGES, srat, TABLE_PAGES)
    .u32(0) // maximum processor count: unused
    .u32(scratch, TABLE_PAGES)
    .finish();
  importer.importPages(basePage, 1, 'uefi-config-base-page', 'exclusive', info);
  importer.importPages(basePage + scratch, TABLE_PAGES, 'uefi-memory-map-scratch', 'exclusiveUnmeasured', EMPTY_SOURCE);
  const areas: readonly [page: number, count: number, tag: string, kind: ParameterKind][] = [
    [loaderBlock, 1, 'uefi-loader-block', 'vpCount'],
    [commandLine, 1, 'uefi-command-line', 'commandLine'],
    [memoryMap, TABLE_PAGES, 'uefi-memory-map', 'memoryMap'],
    [madt, TABLE_PAGES, 'uefi-madt', 'madt'],
    [srat, TABLE_PAGES, 'uefi-srat', 'srat'],
  ];
  for (const [page, count, tag, kind] of areas) {
    importer.importParameter(importer.createParameterArea(basePage + page, count, tag), 0, kind);
  }
  if (sharedTablePages > 0) {
    importer.importPages(
      basePage + sharedTables,
      sharedTablePages,
      'uefi-igvm-page-tables',
      'exclusive',
      sharedPageTables,
    );
  }
  return pages;
}
