import { ENTRY } from '../loader/cpu/page-tables-x64';
import type { GuestPages } from './guest-pages';

/** Address bits below the index of each level: PML4, PDPT, PD, PT. */
const SHIFTS = [39n, 30n, 21n, 12n] as const;

/** Whether the image's own 4-level page tables map the virtual address `address` to the same GPA. */
export function isIdentityMapped(pages: GuestPages, cr3: bigint, address: number): boolean {
  const virtual = BigInt(address);
  let table = cr3 & ENTRY.ADDRESS;
  for (const shift of SHIFTS) {
    const page = pages.page(Number(table));
    if (page === undefined) return false;
    const index = Number((virtual >> shift) & 511n);
    const entry = new DataView(page.buffer, page.byteOffset, page.length).getBigUint64(index * 8, true);
    if ((entry & ENTRY.PRESENT) === 0n) return false;
    const isLeaf = shift === 12n || ((entry & ENTRY.LARGE) !== 0n && shift < 39n);
    if (isLeaf) {
      const offset = (1n << shift) - 1n;
      return ((entry & ENTRY.ADDRESS & ~offset) | (virtual & offset)) === virtual;
    }
    table = entry & ENTRY.ADDRESS;
  }
  return false;
}
