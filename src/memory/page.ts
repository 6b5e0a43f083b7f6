/** Size of a page in bytes. The format allows others in V2; nothing known uses them (igvm_defs, PAGE_SIZE_4K). */
export const PAGE_SIZE = 4096;

/** Pages needed for `bytes` bytes. */
export const pagesFor = (bytes: number): number => Math.ceil(bytes / PAGE_SIZE);

/** `value` rounded up to a multiple of `alignment`, both below 2^53; any alignment above 0. */
export const alignUp = (value: number, alignment: number): number => Math.ceil(value / alignment) * alignment;

/** `value` rounded down to a multiple of `alignment`. */
export const alignDown = (value: number, alignment: number): number => Math.floor(value / alignment) * alignment;
