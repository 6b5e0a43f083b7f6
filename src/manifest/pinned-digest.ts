import { type ErrorWhere, IgvmError } from '../errors/igvm-error';
import { sha256OfFile } from '../files/sha256';

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
