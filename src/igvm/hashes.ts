/**
 * CRC-32 (IEEE 802.3, as zlib's) of `bytes`, continuing from `seed`, the value of what came before (0 at the start).
 * Supplied by the caller, so that the format library needs no Node built-ins.
 */
export type Crc32 = (bytes: Uint8Array, seed?: number) => number;

/**
 * SHA-256 of `bytes` in hexadecimal; only compared with other results of the same function. Supplied by the caller,
 * like {@link Crc32}.
 */
export type Sha256Hex = (bytes: Uint8Array) => string;

/** Sizes of digests, in bytes. */
export const SHA256_SIZE = 32;
export const SHA384_SIZE = 48;

/** CRC-32 of each byte: the reversed polynomial of IEEE 802.3. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0xedb8_8320;
  return crc;
});

/** CRC-32 for callers that supply none: browsers don't have one built in. */
export const portableCrc32: Crc32 = (bytes, seed = 0) => {
  let crc = ~seed;
  for (const byte of bytes) crc = (crc >>> 8) ^ (TABLE[(crc ^ byte) & 0xff] as number);
  return ~crc >>> 0;
};
