import { createHash, type Hash, hash as digestOf } from 'node:crypto';
import { closeSync, readSync } from 'node:fs';
import type { Crc32, Sha256Hex } from '../igvm/hashes';
import type { ByteSource } from '../memory/byte-source';
import { openRegularFile } from './regular-file';

/** Bytes hashed at once. */
const CHUNK = 2 ** 20;

/** Adds the bytes of a source from `start` to `end` (exclusive) to a hash. @throws what reading the source throws */
export function hashRange(hash: Hash, source: ByteSource, start: number, end: number): void {
  const chunk = new Uint8Array(Math.min(CHUNK, end - start));
  for (let at = start; at < end; at += chunk.length) {
    const part = chunk.subarray(0, Math.min(chunk.length, end - at));
    source.read(at, part);
    hash.update(part);
  }
}

/** SHA-256 of a source in hexadecimal. @throws what reading the source throws */
export function sha256OfSource(source: ByteSource): string {
  const hash = createHash('sha256');
  hashRange(hash, source, 0, source.size);
  return hash.digest('hex');
}

/**
 * SHA-256 in hexadecimal of an open file, from its current position up to `size` bytes or its end.
 * @throws errors of node:fs
 */
export function sha256OfOpenFile(file: number, size: number): string {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(Math.max(1, Math.min(CHUNK, size)));
  for (let left = size; left > 0; ) {
    const read = readSync(file, chunk, 0, Math.min(chunk.length, left), null);
    if (read === 0) break;
    hash.update(chunk.subarray(0, read));
    left -= read;
  }
  return hash.digest('hex');
}

/** SHA-256 of a regular file in hexadecimal. @throws NotRegularError, and errors of node:fs */
export function sha256OfFile(path: string): string {
  const { fd, stats } = openRegularFile(path);
  try {
    return sha256OfOpenFile(fd, Number(stats.size));
  } finally {
    closeSync(fd);
  }
}

/** SHA-256 in hexadecimal, for the option `sha256Hex` of the IGVM writer. */
export const sha256Hex: Sha256Hex = (bytes) => digestOf('sha256', bytes, 'hex');

/**
 * CRC-32 from zlib, for the option `crc32` of the IGVM reader and writer. zlib is loaded late, because hashing threads and the program of
 * `runtime` inputs start faster without it.
 */
export const crc32: Crc32 = (bytes, seed = 0) =>
  (require('node:zlib') as typeof import('node:zlib')).crc32(bytes, seed);
