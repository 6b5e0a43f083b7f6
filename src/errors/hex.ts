/** A number as messages and reports show addresses, masks and registers. */
export const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
