import { IgvmError } from '../../errors/igvm-error';
import { type ByteSource, EMPTY_SOURCE } from '../../memory/byte-source';
import { PAGE_SIZE } from '../../memory/page';
import {
  type Arm64RegisterName,
  CPSR_EL1H,
  memoryAttributes,
  SCTLR_MMU_AND_CACHES,
} from '../../vp-context/vp-register';
import { blockArm64, tableArm64 } from '../cpu/page-tables-arm64';
import type { ImageImporter } from '../guest/importer';
import { StructWriter } from '../../memory/struct-writer';
import { type UefiConfigType, type UefiLoadInfo, checkFirmwareSize } from './uefi';

/**
 * Memory map, from GPA 0 on without gaps (openvmm vm/loader/src/uefi/mod.rs, mod aarch64): firmware, stack, page
 * tables, configuration. Bytes.
 */
const IMAGE_SIZE = 0x800000;
const STACK_SIZE = 32 * PAGE_SIZE;
const STACK_END = IMAGE_SIZE + STACK_SIZE;
const PAGE_TABLES = STACK_END;
const CONFIG_BASE = 0x824000;
const ENTRY_POINT = 0x1000;

/** The firmware's first page tables map memory up to here, and devices from here to 4 GiB. */
const END_OF_RAM = 2 ** 30;

/** Platform type in X2 (mu_msvm SecPlatformType.h): Hyper-V. */
const SEC_PLATFORM_HYPERV = 0n;

/** MAIR_EL1, attribute 0 first: write-back, non-cacheable, write-through, write-combining, and the same again. */
const MEMORY_TYPES = [0xff, 0x00, 0xaa, 0x44, 0xff, 0x00, 0xaa, 0x44];

/** TCR_EL1: 48-bit regions, 4 KiB granule, inner shareable write-back walks, no walks in the upper half. */
const TCR = 16n | (1n << 8n) | (1n << 10n) | (3n << 12n) | (16n << 16n) | (1n << 23n);

/** Registers that the firmware starts with, in upstream's order. */
const REGISTERS: readonly [Arm64RegisterName, bigint][] = [
  ['cpsr', CPSR_EL1H],
  ['x0', BigInt(ENTRY_POINT)],
  ['pc', BigInt(ENTRY_POINT)],
  ['x1', BigInt(STACK_END)],
  ['x2', SEC_PLATFORM_HYPERV],
  ['ttbr0El1', BigInt(PAGE_TABLES)],
  ['mairEl1', memoryAttributes(MEMORY_TYPES)],
  ['sctlrEl1', SCTLR_MMU_AND_CACHES],
  ['tcrEl1', TCR],
];

/**
 * Lays out UEFI for Hyper-V on aarch64. @throws IgvmError FIRMWARE_INVALID for an image of the wrong size,
 * CONFIG_UNSUPPORTED for IGVM parameters
 */
export function loadUefiArm64(importer: ImageImporter, image: ByteSource, config: UefiConfigType): UefiLoadInfo {
  checkFirmwareSize(image, IMAGE_SIZE);
  if (config === 'igvm') {
    throw new IgvmError('CONFIG_UNSUPPORTED', 'UEFI for aarch64 cannot take its configuration from IGVM parameters', {
      jsonPath: ['image', 'uefi', 'config_type'],
    });
  }
  importer.importPages(0, IMAGE_SIZE / PAGE_SIZE, 'uefi-image', 'exclusive', image);
  importer.importPages(IMAGE_SIZE / PAGE_SIZE, STACK_SIZE / PAGE_SIZE, 'uefi-stack', 'exclusive', EMPTY_SOURCE);
  const tables = identityMap(PAGE_TABLES);
  importer.importPages(PAGE_TABLES / PAGE_SIZE, tables.length / PAGE_SIZE, 'uefi-page-tables', 'exclusive', tables);
  for (const [name, value] of REGISTERS) importer.setRegister({ name, value });
  return { firmwareBase: 0, totalSize: CONFIG_BASE };
}

const ENTRIES = 512;
/** Indices of MEMORY_TYPES. */
const WRITE_BACK = 0;
const UNCACHED = 1;

/**
 * The first 4 GiB, mapped in blocks of 1 GiB. The firmware expects four tables. The two of finer granularity, for RAM
 * that ends within a GiB, stay empty here.
 */
function identityMap(gpa: number): Uint8Array {
  const tables = new StructWriter();
  tables.u64(tableArm64(gpa + PAGE_SIZE)).zeros((ENTRIES - 1) * 8);
  for (let address = 0; address < 2 ** 32; address += 2 ** 30) {
    tables.u64(blockArm64(address, address < END_OF_RAM ? WRITE_BACK : UNCACHED));
  }
  return tables.zeros((ENTRIES - 4) * 8 + 2 * PAGE_SIZE).finish();
}
