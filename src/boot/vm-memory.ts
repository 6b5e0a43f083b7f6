import { IgvmError } from '../errors/igvm-error';
import { readMemorySize } from '../memory/memory-size';
import { PAGE_SIZE } from '../memory/page';

/**
 * Bytes of a VM's memory, as the user wrote them.
 * @throws IgvmError BOOT_OPTION when it is no size, or no multiple of a page
 */
export function parseVmMemory(text: string | number): number {
  const bytes = readMemorySize(text);
  if (bytes === undefined || bytes % PAGE_SIZE !== 0) {
    throw new IgvmError('BOOT_OPTION', `memory "${text}" is not a size like 512M or 1G`);
  }
  return bytes;
}
