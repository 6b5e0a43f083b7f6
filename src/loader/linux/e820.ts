import { IgvmError } from '../../errors/igvm-error';
import { BOOT_PARAMS } from '../formats/boot-params';

/** Types of memory in the e820 map (Linux, arch/x86/include/uapi/asm/setup_data.h). */
export const E820 = { RAM: 1, RESERVED: 2, ACPI: 3 } as const;

/** A range of the e820 map; bytes. */
export interface E820Range {
  start: number;
  end: number;
  type: (typeof E820)[keyof typeof E820];
}

const ENTRY_SIZE = 20;
/** Entries that boot_params has room for (E820_MAX_ENTRIES_ZEROPAGE). */
const ENTRY_LIMIT = 128;

/**
 * Writes a memory map into a zero page; ranges without bytes are left out.
 * @throws IgvmError LAYOUT_OUT_OF_RANGE when there are too many ranges
 */
export function writeE820Map(zeroPage: DataView, map: readonly E820Range[]): void {
  const ranges = map.filter(({ start, end }) => end > start);
  if (ranges.length > ENTRY_LIMIT) {
    throw new IgvmError('LAYOUT_OUT_OF_RANGE', `the memory map has ${ranges.length} ranges and holds ${ENTRY_LIMIT}`);
  }
  zeroPage.setUint8(BOOT_PARAMS.e820_entries, ranges.length);
  for (const [index, { start, end, type }] of ranges.entries()) {
    const at = BOOT_PARAMS.e820_table + index * ENTRY_SIZE;
    zeroPage.setBigUint64(at, BigInt(start), true);
    zeroPage.setBigUint64(at + 8, BigInt(end - start), true);
    zeroPage.setUint32(at + 16, type, true);
  }
}

/** The memory map in a zero page, whoever wrote it: any type, any addresses (to the nearest number), as many entries as it has room for. */
export function readE820Map(zeroPage: DataView): { start: number; end: number; type: number }[] {
  const count = Math.min(zeroPage.getUint8(BOOT_PARAMS.e820_entries), ENTRY_LIMIT);
  return Array.from({ length: count }, (_, index) => {
    const at = BOOT_PARAMS.e820_table + index * ENTRY_SIZE;
    const start = Number(zeroPage.getBigUint64(at, true));
    return { start, end: start + Number(zeroPage.getBigUint64(at + 8, true)), type: zeroPage.getUint32(at + 16, true) };
  });
}
