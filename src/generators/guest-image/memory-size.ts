import { IgvmError } from '../../errors/igvm-error';

const UNITS: Record<string, number> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };
const PAGE = 4096;

/**
 * Bytes of a size as people write it: `536870912`, `512M`, `1G`.
 * @param multipleOf what the size has to be a multiple of, in bytes
 * @throws IgvmError GENERATOR_OPTION
 */
export function parseMemorySize(size: string | number, multipleOf: number = PAGE): number {
  const match = /^(\d+)\s*([kmg]?)(?:i?b)?$/i.exec(String(size).trim());
  const bytes = match === null ? Number.NaN : Number(match[1]) * (UNITS[(match[2] ?? '').toLowerCase()] as number);
  if (!Number.isSafeInteger(bytes) || bytes === 0) {
    throw new IgvmError('GENERATOR_OPTION', `memorySize "${size}" is not a size like 512M or 1G`);
  }
  if (bytes % multipleOf !== 0) {
    throw new IgvmError('GENERATOR_OPTION', `memorySize "${size}" is not a multiple of ${multipleOf} bytes`);
  }
  return bytes;
}
