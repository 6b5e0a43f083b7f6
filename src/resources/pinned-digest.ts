import { type ErrorWhere, IgvmError } from '../errors/igvm-error';
import { sha256OfSource } from '../files/sha256';
import type { ByteSource } from '../memory/byte-source';

/** What a manifest says that a file has to be. */
export interface PinnedDigest {
  /** SHA-256 in hexadecimal. */
  readonly sha256: string;
  /** The place that pins it. */
  readonly where?: ErrorWhere;
}

/**
 * Refuses a file that isn't the pinned one.
 * @param source the file, open: what is built from must be what was checked
 * @param display its name in messages
 * @throws IgvmError RESOURCE_DIGEST at the place that pins it, and what reading the source throws
 */
export function verifyDigest(source: ByteSource, display: string, { sha256, where }: PinnedDigest): void {
  const actual = sha256OfSource(source);
  if (actual !== sha256.toLowerCase()) {
    throw new IgvmError('RESOURCE_DIGEST', `${display} has the SHA-256 ${actual}, not ${sha256}`, where);
  }
}
