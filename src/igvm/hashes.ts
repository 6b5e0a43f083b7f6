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

/** CRC-32 of each byte: the reversed polynomial of IEEE 802.3. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0xedb8_8320;
  return crc;
});

/** CRC-32 where nothing better is handed in: a browser has none. */
export const portableCrc32: Crc32 = (bytes, seed = 0) => {
  let crc = ~seed;
  for (const byte of bytes) crc = (crc >>> 8) ^ (TABLE[(crc ^ byte) & 0xff] as number);
  return ~crc >>> 0;
};
