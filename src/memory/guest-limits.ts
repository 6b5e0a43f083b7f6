/** What no guest may exceed, whatever it is made of: the manifest is checked against it, and what loaders then place. */

/**
 * End of the addresses that an image may use: page tables and VMSAs hold 52 bits of address (AMD64 manual, volume 2, 5.3),
 * those of aarch64 no more, and sums of two stay exact numbers.
 */
export const GPA_LIMIT = 2 ** 52;

/** End of the sizes that a RequiredMemory directive holds, in bytes (igvm_defs: `number_of_bytes` is a u32). */
export const REQUIRED_MEMORY_LIMIT = 2 ** 32;

/** Up to here all VMMs have RAM from 0 on without a gap; above, they differ in where they place the rest. Bytes. */
export const COMMON_MEMORY_LIMIT = 2 ** 31;

/**
 * Address bits that can be the shared GPA boundary of UEFI under SNP: firmware maps the memory there, and the boundary becomes
 * an entry of the top page table, of which there are 512, of 512 GiB each.
 */
export const UEFI_BOUNDARY_BITS = { lowest: 39, highest: 47 } as const;

/** Whether that bit can be it. Upstream's release builds shift by its low six bits, and so do we. */
export const isUefiBoundary = (bits: number): boolean =>
  bits % 64 >= UEFI_BOUNDARY_BITS.lowest && bits % 64 <= UEFI_BOUNDARY_BITS.highest;
