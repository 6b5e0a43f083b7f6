import { hex } from '../../errors/printable';
import { IgvmError, unreachable } from '../../errors/igvm-error';
import { PAGE_SIZE } from '../../memory/page';

/** Bits of a VMSAv8-64 descriptor, 4 KiB granule (Arm ARM, D8.3). */
const VALID = 1n << 0n;
const TABLE = 1n << 1n;
const INNER_SHAREABLE = 3n << 8n;
/** Set from the start: without it, translation fails on CPUs that do not manage the flag themselves. */
const ACCESSED = 1n << 10n;
const USER_EXECUTE_NEVER = 1n << 54n;

/** A descriptor of the table at `gpa`. */
export const tableArm64 = (gpa: number): bigint => BigInt(gpa) | TABLE | VALID;

/**
 * A descriptor that maps a block of memory that only the kernel can execute.
 * @param attributeIndex index in MAIR_EL1 of its memory type, 0 to 7
 */
export const blockArm64 = (gpa: number, attributeIndex: number): bigint =>
  BigInt(gpa) | VALID | (BigInt(attributeIndex) << 2n) | INNER_SHAREABLE | ACCESSED | USER_EXECUTE_NEVER;

const GIB = 2 ** 30;
const LARGE_PAGE = 2 ** 21;

/** Bits of the output addresses in descriptors of upstream's builder: 35 bits of page number. */
const ADDRESS_BITS = 47;
const ADDRESS_LIMIT = 2 ** ADDRESS_BITS;

/**
 * Upstream fills the root table with this byte before use, and so do we, as the bytes are part of the image. Bit 0 is
 * clear, so unused entries are invalid.
 */
const ROOT_FILLER = 0xfe;

/** Parameters of {@link buildIdentityMapArm64}. Bytes. */
export interface IdentityMapArm64 {
  /** GPA of the first table, a multiple of 4096. */
  pageTableGpa: number;
  /** The mapped range; multiples of 2 MiB, `size` above 0. */
  start: number;
  size: number;
  /** Index in MAIR_EL1 of the memory type of all of it, 0 to 7. */
  attributeIndex: number;
  /** Bytes for the tables. */
  capacity: number;
}

/**
 * Page tables that map a range to itself in pages of 1 GiB and 2 MiB, executable by the kernel only, tables in the order
 * of first need (openvmm vm/loader/page_table/src/aarch64.rs: build_identity_page_tables_aarch64).
 * @throws IgvmError LAYOUT_OUT_OF_RANGE for memory beyond the addresses that the tables hold
 */
export function buildIdentityMapArm64(map: IdentityMapArm64): Uint8Array {
  const { pageTableGpa, start, size, capacity } = map;
  if (start % LARGE_PAGE !== 0 || size % LARGE_PAGE !== 0 || size <= 0) {
    unreachable(`arm64 identity map of ${size} bytes at ${start}, not multiples of 2 MiB`);
  }
  const limit = Math.floor(capacity / PAGE_SIZE);
  if (start + size > ADDRESS_LIMIT) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `memory is to be mapped up to ${hex(start + size)}, and page tables for aarch64 hold addresses of ${ADDRESS_BITS} bits: choose a lower address`,
      { gpa: { start, end: start + size } },
    );
  }
  const view = new DataView(new ArrayBuffer(limit * PAGE_SIZE));
  new Uint8Array(view.buffer, 0, PAGE_SIZE).fill(ROOT_FILLER);
  let count = 1;

  const at = (table: number, index: number): number => table * PAGE_SIZE + index * 8;
  const nextTable = (table: number, index: number): number => {
    const entry = view.getBigUint64(at(table, index), true);
    if ((entry & VALID) !== 0n) return (Number(entry & ~(VALID | TABLE)) - pageTableGpa) / PAGE_SIZE;
    if (count === limit) unreachable(`mapping ${size} bytes at ${start} takes more than ${limit} page tables`);
    view.setBigUint64(at(table, index), tableArm64(pageTableGpa + count * PAGE_SIZE), true);
    return count++;
  };

  for (let address = start; address < start + size; ) {
    const gibTable = nextTable(0, Math.floor(address / (512 * GIB)));
    const gib = Math.floor(address / GIB) % 512;
    if (address % GIB === 0 && start + size - address >= GIB) {
      view.setBigUint64(at(gibTable, gib), blockArm64(address, map.attributeIndex), true);
      address += GIB;
    } else {
      const largeTable = nextTable(gibTable, gib);
      view.setBigUint64(
        at(largeTable, Math.floor(address / LARGE_PAGE) % 512),
        blockArm64(address, map.attributeIndex),
        true,
      );
      address += LARGE_PAGE;
    }
  }
  return new Uint8Array(view.buffer, 0, count * PAGE_SIZE);
}
