import { IgvmError } from '../../errors/igvm-error';
import { PAGE_SIZE, readMemorySize } from '../../memory/page';

/**
 * Bytes of the option `memorySize`.
 * @param multipleOf what the size has to be a multiple of, in bytes
 * @throws IgvmError GENERATOR_OPTION
 */
export function parseMemorySize(size: string | number, multipleOf: number = PAGE_SIZE): number {
  const bytes = readMemorySize(size);
  if (bytes === undefined) {
    throw new IgvmError('GENERATOR_OPTION', `memorySize "${size}" is not a size like 512M or 1G`);
  }
  if (bytes % multipleOf !== 0) {
    throw new IgvmError('GENERATOR_OPTION', `memorySize "${size}" is not a multiple of ${multipleOf} bytes`);
  }
  return bytes;
}
