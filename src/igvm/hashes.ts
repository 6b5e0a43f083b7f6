/**
 * CRC-32 (IEEE 802.3, as zlib's) of `bytes`, continuing from `seed`, the value of what came before (0 at the start).
 * Handed in, so that the format library needs no built-in of Node.
 */
export type Crc32 = (bytes: Uint8Array, seed?: number) => number;

/** SHA-256 of `bytes` in hexadecimal; only compared with itself. Handed in, like {@link Crc32}. */
export type Sha256Hex = (bytes: Uint8Array) => string;

/** Sizes of digests, in bytes. */
export const SHA256_SIZE = 32;
export const SHA384_SIZE = 48;
