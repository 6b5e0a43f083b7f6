import { createHash, type Hash } from 'node:crypto';
import { IgvmError } from '../errors/igvm-error';
import type { ByteSource } from '../memory/byte-source';
import { readPeHeaders } from './pe';

const CHUNK = 1024 * 1024;

/**
 * The Authenticode digest (SHA-256) of an EFI program, by which Secure Boot's db may allow it: everything but the checksum and the
 * certificates. What is behind the sections counts as if they had no gaps, and certificates as if they were last, as in the crate
 * authenticode 0.6.0 (src/authenticode_digest.rs), which igvm-update uses. The program is read in pieces.
 * @param program a PE32+ file, signed or not
 * @throws IgvmError EFI_DATA_INVALID for what is none, or has parts outside the file; and what the source throws
 */
export function authenticodeSha256(program: ByteSource): Uint8Array {
  const { checksum, securityDirectory, sizeOfHeaders, certificateSize, sections } = readPeHeaders(program);
  const hash = createHash('sha256');
  const add = (start: number, end: number): void => {
    if (start > end || end > program.size) throw invalid('its headers name parts that are not in the file');
    addRange(hash, program, start, end);
  };
  add(0, checksum.start);
  add(checksum.end, securityDirectory.start);
  // Also where there are fewer directories, and other bytes in this place.
  add(securityDirectory.end, sizeOfHeaders);
  let hashed = sizeOfHeaders;
  for (const { rawStart, rawSize } of sections.toSorted((a, b) => a.rawStart - b.rawStart)) {
    add(rawStart, rawStart + rawSize);
    hashed += rawSize;
  }
  add(hashed, program.size - certificateSize);
  return hash.digest();
}

function addRange(hash: Hash, source: ByteSource, start: number, end: number): void {
  const chunk = new Uint8Array(Math.min(CHUNK, end - start));
  for (let at = start; at < end; at += chunk.length) {
    const bytes = chunk.subarray(0, Math.min(chunk.length, end - at));
    source.read(at, bytes);
    hash.update(bytes);
  }
}

const invalid = (why: string): IgvmError =>
  new IgvmError('EFI_DATA_INVALID', `the EFI program has no Authenticode digest: ${why}`);
