import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Blocks, skippedFor } from '../boot/needing.fixture';

/** Evidence from real machines. It isn't part of the repository. Its folder is beside it, or named by the environment. */
const FOLDER = process.env['NX_IGVM_ATTESTATION'] ?? join(__dirname, '..', '..', '..', 'shared', 'attestation');

/** Path of a piece of evidence. */
export const evidencePath = (name: string): string => join(FOLDER, name);

/** Blocks of tests with real evidence. Without the evidence they are skipped, and their names say so. */
export const withEvidence: Blocks = skippedFor(
  existsSync(FOLDER) ? undefined : 'real evidence: ../shared/attestation, or the folder that NX_IGVM_ATTESTATION names',
);

/** The number of bits that are changed in a piece of evidence, one at a time and spread over all of it. */
export const CHANGED_BITS = Number(process.env['NX_IGVM_CHANGED_BITS'] ?? 60);

/** The places of bits to change, the same in each run. They are spread evenly, and every bit of a byte occurs. */
export function changedBits(size: number, count = CHANGED_BITS): { byte: number; bit: number }[] {
  const all = size * 8;
  return Array.from({ length: Math.min(count, all) }, (_, index) => {
    const at = Math.floor(((index + 0.5) * all) / Math.min(count, all) + (index % 8)) % all;
    return { byte: at >> 3, bit: at & 7 };
  });
}

/** A copy with one bit changed. */
export function withBit(bytes: Uint8Array, { byte, bit }: { byte: number; bit: number }): Buffer {
  const copy = Buffer.from(bytes);
  copy[byte]! ^= 1 << bit;
  return copy;
}
