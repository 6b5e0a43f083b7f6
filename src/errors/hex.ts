/** A number as messages and reports show addresses, masks and registers. */
export const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** A range of addresses in bytes, end exclusive. */
export const hexRange = (start: number | bigint, end: number | bigint): string => `${hex(start)}-${hex(end)}`;
