import type { GuestPages } from './guest-pages';

const PRESENT = 1n;
/** In a PDPT or PD entry: the entry maps a page of 1 GiB or 2 MiB (Intel SDM vol. 3, 4.5.4). */
const LARGE = 0x80n;
const ADDRESS = 0x000f_ffff_ffff_f000n;

/** Address bits below the index of each level: PML4, PDPT, PD, PT. */
const SHIFTS = [39n, 30n, 21n, 12n] as const;

/** Whether the image's own 4-level page tables map the virtual address `address` to the same GPA. */
export function isIdentityMapped(pages: GuestPages, cr3: bigint, address: number): boolean {
  const virtual = BigInt(address);
  let table = cr3 & ADDRESS;
  for (const shift of SHIFTS) {
    const page = pages.page(Number(table));
    if (page === undefined) return false;
    const index = Number((virtual >> shift) & 511n);
    const entry = new DataView(page.buffer, page.byteOffset, page.length).getBigUint64(index * 8, true);
    if ((entry & PRESENT) === 0n) return false;
    const isLeaf = shift === 12n || ((entry & LARGE) !== 0n && shift < 39n);
    if (isLeaf) {
      const offset = (1n << shift) - 1n;
      return ((entry & ADDRESS & ~offset) | (virtual & offset)) === virtual;
    }
    table = entry & ADDRESS;
  }
  return false;
}
