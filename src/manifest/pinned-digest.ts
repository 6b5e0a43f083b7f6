import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { type ErrorWhere, IgvmError } from '../errors/igvm-error';

const CHUNK_BYTES = 1 << 20;

/** SHA-256 of a file in lower-case hex, read in pieces of 1 MiB. */
export function sha256OfFile(path: string): string {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  const file = openSync(path, 'r');
  try {
    for (let read = readSync(file, chunk); read > 0; read = readSync(file, chunk)) hash.update(chunk.subarray(0, read));
  } finally {
    closeSync(file);
  }
  return hash.digest('hex');
}

/**
 * Refuses a file that isn't the pinned one.
 * @throws IgvmError RESOURCE_DIGEST or FILE_UNREADABLE at the place that pins it.
 */
export function verifyDigest(path: string, display: string, expected: string, where: ErrorWhere): void {
  let actual: string;
  try {
    actual = sha256OfFile(path);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new IgvmError('FILE_UNREADABLE', `${display} cannot be read (${reason})`, where, { cause });
  }
  if (actual !== expected.toLowerCase()) {
    throw new IgvmError('RESOURCE_DIGEST', `${display} has the SHA-256 ${actual}, not ${expected}`, where);
  }
}
