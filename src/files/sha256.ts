import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import type { ByteSource } from '../memory/byte-source';

/** Bytes hashed at once. */
const CHUNK = 2 ** 20;

/** SHA-256 of a source in hexadecimal. @throws what reading the source throws */
export function sha256OfSource(source: ByteSource): string {
  const hash = createHash('sha256');
  const chunk = new Uint8Array(Math.min(CHUNK, source.size));
  for (let at = 0; at < source.size; at += chunk.length) {
    const part = chunk.subarray(0, Math.min(chunk.length, source.size - at));
    source.read(at, part);
    hash.update(part);
  }
  return hash.digest('hex');
}

/** SHA-256 in hexadecimal of an open file from where it stands to its end. @throws the errors of node:fs */
export function sha256OfOpenFile(file: number): string {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(CHUNK);
  for (let read = readSync(file, chunk); read > 0; read = readSync(file, chunk)) hash.update(chunk.subarray(0, read));
  return hash.digest('hex');
}

/** SHA-256 of a file in hexadecimal. @throws the errors of node:fs */
export function sha256OfFile(path: string): string {
  const file = openSync(path, 'r');
  try {
    return sha256OfOpenFile(file);
  } finally {
    closeSync(file);
  }
}
