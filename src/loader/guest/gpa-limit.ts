/**
 * End of the addresses that an image may use: page tables and VMSAs hold 52 bits of address (AMD64 manual, volume 2, 5.3),
 * those of aarch64 no more, and sums of two stay exact numbers.
 */
export const GPA_LIMIT = 2 ** 52;
