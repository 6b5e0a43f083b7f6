import { hash } from 'node:crypto';

export const PAGE = 4096;

/** Bytes that look random and are the same on every machine: SHA-256 of `seed:0`, `seed:1`, … concatenated. */
export function noise(seed: string, size: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(size / 32) }, (_, index) =>
    hash('sha256', Buffer.from(`${seed}:${index}`), 'buffer'),
  );
  return Buffer.concat(blocks).subarray(0, size);
}

export const zeros = (size: number): Buffer => Buffer.alloc(size);

/** `bytes` followed by enough of `filler` to make `size` bytes. */
export const filled = (bytes: Uint8Array, size: number, filler: number): Buffer =>
  Buffer.concat([bytes, Buffer.alloc(size - bytes.length, filler)]);

type Field = ['u8' | 'u16' | 'u24' | 'u32' | 'u64', number] | Uint8Array;

const WIDTHS = { u8: 1, u16: 2, u24: 3, u32: 4, u64: 8 } as const;

function littleEndian(width: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
  return bytes.subarray(0, width);
}

/** A packed little-endian structure. */
export const struct = (...fields: Field[]): Buffer =>
  Buffer.concat(fields.map((field) => (Array.isArray(field) ? littleEndian(WIDTHS[field[0]], field[1]) : field)));

/** Writes little-endian fields into a header at their offsets. */
export function patch(
  header: Buffer,
  fields: readonly [offset: number, width: keyof typeof WIDTHS, value: number][],
): void {
  for (const [offset, width, value] of fields) littleEndian(WIDTHS[width], value).copy(header, offset);
}
