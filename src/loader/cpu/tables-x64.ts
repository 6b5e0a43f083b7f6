/** The tables that x64 code starts with: the GDT and page tables. */
import { PAGE_SIZE } from '../../memory/page';
import type { SegmentRegister, SegmentRegisterName } from '../../vp-context/vp-register';
import type { ImageImporter } from '../guest/importer';
import { hex, hexRange } from '../../errors/printable';
import { IgvmError, unreachable } from '../../errors/igvm-error';

/** Present, ring 0, execute/read, accessed, 64-bit, 4 KiB granularity (openvmm vm/x86/x86defs: X64_DEFAULT_*_SEGMENT_ATTRIBUTES). */
const CODE_ATTRIBUTES = 0xa09b;
/** Present, ring 0, read/write, accessed, 32-bit, 4 KiB granularity. */
const DATA_ATTRIBUTES = 0xc093;

/** Bytes of guest memory that {@link importGdt} takes. */
export const GDT_SIZE = PAGE_SIZE;

const DESCRIPTOR_SIZE = 8;
const DESCRIPTOR_COUNT = 4;

const DATA_SEGMENTS: readonly SegmentRegisterName[] = ['ds', 'es', 'fs', 'gs', 'ss'];

/** The places of a flat GDT's two descriptors, and its name in the map file. */
export interface GdtLayout {
  codeSelector: number;
  dataSelector: number;
  tag: string;
}

/** Null, code, data, null. */
const DEFAULT_LAYOUT: GdtLayout = { codeSelector: 0x08, dataSelector: 0x10, tag: 'default-gdt' };

/**
 * Imports a page with a flat GDT and sets GDTR and the segment registers to it (openvmm vm/loader/src/common.rs:
 * import_default_gdt), by default the one that Linux and UEFI start with. The descriptors have the limit 0xffff, as upstream's: 64-bit mode ignores it.
 * @throws IgvmError LAYOUT_OVERLAP
 */
export function importGdt(importer: ImageImporter, pageBase: number, layout = DEFAULT_LAYOUT): void {
  const { codeSelector, dataSelector, tag } = layout;
  const table = new DataView(new ArrayBuffer(DESCRIPTOR_COUNT * DESCRIPTOR_SIZE));
  for (const [selector, attributes] of [
    [codeSelector, CODE_ATTRIBUTES],
    [dataSelector, DATA_ATTRIBUTES],
  ] as const) {
    table.setUint16(selector, 0xffff, true);
    table.setUint16(selector + 5, attributes, true);
  }
  importer.importPages(pageBase, GDT_SIZE / PAGE_SIZE, tag, 'exclusive', new Uint8Array(table.buffer));

  importer.setRegister({
    name: 'gdtr',
    table: { base: BigInt(pageBase * PAGE_SIZE), limit: DESCRIPTOR_COUNT * DESCRIPTOR_SIZE - 1 },
  });
  const data = segment(dataSelector, DATA_ATTRIBUTES);
  for (const name of DATA_SEGMENTS) importer.setRegister({ name, segment: data });
  importer.setRegister({ name: 'cs', segment: segment(codeSelector, CODE_ATTRIBUTES) });
}

function segment(selector: number, attributes: number): SegmentRegister {
  return { base: 0n, limit: 0xffffffff, selector, attributes };
}

/** Bits of a page-table entry (Intel SDM volume 3, 4.5 "4-level paging"). */
export const ENTRY = {
  PRESENT: 1n << 0n,
  READ_WRITE: 1n << 1n,
  ACCESSED: 1n << 5n,
  DIRTY: 1n << 6n,
  /** In a PDPT or PD: the entry maps a page of 1 GiB or 2 MiB. */
  LARGE: 1n << 7n,
  ADDRESS: 0x000f_ffff_ffff_f000n,
} as const;

/**
 * Flags of an entry that points to another table, and defaults for pages. Set from the start, so that no CPU has to
 * write them.
 */
const TABLE_FLAGS = ENTRY.PRESENT | ENTRY.READ_WRITE | ENTRY.ACCESSED;

const GIB = 2 ** 30;
const LARGE_PAGE = 2 ** 21;

/** Levels from the root down, with the bytes that one entry maps. */
const LEVELS = [
  { shift: 39n, size: 2 ** 39 },
  { shift: 30n, size: GIB },
  { shift: 21n, size: LARGE_PAGE },
  { shift: 12n, size: PAGE_SIZE },
] as const;

/** Parameters of {@link buildIdentityMap}. Addresses in bytes. */
export interface IdentityMap {
  /** GPA of the first table, a multiple of 4096. */
  pageTableGpa: number;
  /** GiB of address space from 0 on; default 4. */
  gib?: 4 | 8;
  /**
   * Added to each mapped address. There is then no root table, only the table that its entry `addressBias >> 39` points
   * to.
   */
  addressBias?: bigint;
  /** Makes the root's entry for `address` (a multiple of 512 GiB) point to the table at `tableGpa`. */
  pml4Link?: { tableGpa: number; address: bigint };
  /** Address bit that marks private memory (SNP's C-bit), set in every entry. */
  confidentialBit?: number;
}

/**
 * 4-level page tables that map the bottom of the address space to itself in 2 MiB pages: the root, one table of GiBs,
 * and one table per GiB, in this order (openvmm vm/loader/page_table/src/x64.rs: IdentityMapBuilder).
 */
export function buildIdentityMap(map: IdentityMap): Uint8Array {
  const { gib: size = 4, addressBias: bias = 0n } = map;
  const confidential = bitMask(map.confidentialBit);
  const withRoot = bias === 0n;
  const gibTable = withRoot ? 1 : 0;
  const tables = new Tables(gibTable + 1 + size);
  const link = (table: number): bigint => BigInt(map.pageTableGpa + table * PAGE_SIZE) | TABLE_FLAGS | confidential;
  if (withRoot) {
    tables.set(0, 0, link(gibTable));
    if (map.pml4Link !== undefined) {
      const { tableGpa, address } = map.pml4Link;
      tables.set(0, Number(address >> 39n), BigInt(tableGpa) | TABLE_FLAGS | confidential);
    }
  }
  for (let gib = 0; gib < size; gib++) {
    const table = gibTable + 1 + gib;
    tables.set(gibTable, gib, link(table));
    for (let index = 0; index < 512; index++) {
      const address = BigInt(gib * GIB + index * LARGE_PAGE) + bias;
      tables.set(table, index, address | TABLE_FLAGS | ENTRY.LARGE | ENTRY.DIRTY | confidential);
    }
  }
  return tables.bytes(tables.capacity);
}

/** A range to map to itself, page-aligned, in bytes, end exclusive. */
export interface MappedRange {
  /** For messages: "the memory of openhcl". */
  what: string;
  start: number;
  end: number;
}

/** Parameters of {@link buildPageTablesX64}. */
export interface PageTables {
  /** GPA of the first table, a multiple of 4096. */
  pageTableGpa: number;
  /** In ascending order. */
  ranges: readonly MappedRange[];
  /** As in {@link IdentityMap}. */
  confidentialBit?: number;
  /** Most tables that may be built. */
  capacity?: number;
}

/** The most tables upstream's builder makes (x64.rs: PAGE_TABLE_MAX_COUNT). */
const DEFAULT_CAPACITY = 20;

/**
 * 4-level page tables that map ranges to themselves with the largest pages that fit, tables in the order of first need
 * (openvmm vm/loader/page_table/src/x64.rs: PageTableBuilder).
 * @throws IgvmError LAYOUT_OVERLAP for overlapping ranges, also modulo the 2^48 that tables map; LAYOUT_OUT_OF_RANGE for
 *   tables at addresses that have the confidential bit
 */
export function buildPageTablesX64(map: PageTables): Uint8Array {
  checkRanges(map.ranges);
  const confidential = bitMask(map.confidentialBit);
  const tables = new Tables(map.capacity ?? DEFAULT_CAPACITY);
  let count = 1;
  for (const range of map.ranges) {
    const { start, end } = range;
    let address = start;
    while (address < end) {
      let table = 0;
      for (const [depth, level] of LEVELS.entries()) {
        const index = Number((BigInt(address) >> level.shift) & 511n);
        const entry = tables.get(table, index);
        const isLeaf = depth > 0 && address % level.size === 0 && address + level.size <= end;
        if ((entry & ENTRY.PRESENT) !== 0n && (isLeaf || (entry & ENTRY.LARGE) !== 0n))
          throw mappedTwice(address, range);
        if (isLeaf) {
          const large = depth < LEVELS.length - 1 ? ENTRY.LARGE : 0n;
          tables.set(table, index, BigInt(address) | TABLE_FLAGS | large | ENTRY.DIRTY | confidential);
          address += level.size;
          break;
        }
        if ((entry & ENTRY.PRESENT) === 0n) {
          if (count === tables.capacity) unreachable(`mapping ${range.what} takes more than ${count} page tables`);
          const gpa = map.pageTableGpa + count * PAGE_SIZE;
          if ((BigInt(gpa) & confidential) !== 0n) throw marked(gpa, map.confidentialBit);
          tables.set(table, index, BigInt(gpa) | TABLE_FLAGS | confidential);
          table = count++;
        } else {
          table = (Number(entry & ENTRY.ADDRESS & ~confidential) - map.pageTableGpa) / PAGE_SIZE;
        }
      }
    }
  }
  return tables.bytes(count);
}

/**
 * Number of tables of 2 MiB pages that a range needs: one for each GiB that it touches. Parameters in bytes (x64.rs:
 * calculate_pde_table_count).
 */
export function gibTableCount(start: number, size: number): number {
  const first = Math.floor(start / GIB);
  const end = Math.ceil((start + size) / GIB);
  return Math.max(end - first, 1);
}

function mappedTwice(address: number, { what, start, end }: MappedRange): IgvmError {
  return new IgvmError(
    'LAYOUT_OVERLAP',
    `${hex(address)} of ${what} would be mapped like another address: page tables map only 2^48 bytes`,
    { gpa: { start, end } },
  );
}

/** The processor would look for the table at the address without the bit. */
function marked(gpa: number, bit: number | undefined): IgvmError {
  return new IgvmError(
    'LAYOUT_OUT_OF_RANGE',
    `page tables would lie at ${hex(gpa)}, an address with bit ${bit}, which marks private memory: choose a lower one`,
    { gpa: { start: gpa, end: gpa + PAGE_SIZE } },
  );
}

function checkRanges(ranges: readonly MappedRange[]): void {
  for (const [index, range] of ranges.entries()) {
    const { start, end } = range;
    const next = ranges[index + 1];
    if (end < start || (next !== undefined && next.start < start)) unreachable('page table ranges out of order');
    if (next !== undefined && end > next.start) {
      throw new IgvmError(
        'LAYOUT_OVERLAP',
        `${range.what} at ${hexRange(start, end)} overlaps ${next.what} at ${hexRange(next.start, next.end)}`,
        { gpa: { start: next.start, end: Math.min(end, next.end) } },
      );
    }
  }
}

const bitMask = (bit: number | undefined): bigint => (bit === undefined ? 0n : 1n << BigInt(bit));

/** Page tables side by side. */
class Tables {
  private readonly view: DataView;

  constructor(readonly capacity: number) {
    this.view = new DataView(new ArrayBuffer(capacity * PAGE_SIZE));
  }

  get(table: number, index: number): bigint {
    return this.view.getBigUint64(table * PAGE_SIZE + index * 8, true);
  }

  set(table: number, index: number, entry: bigint): void {
    this.view.setBigUint64(table * PAGE_SIZE + index * 8, entry, true);
  }

  /** The first `count` tables. */
  bytes(count: number): Uint8Array {
    return new Uint8Array(this.view.buffer, 0, count * PAGE_SIZE);
  }
}
