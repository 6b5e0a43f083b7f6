import { IgvmError } from '../errors/igvm-error';
import { PAGE_SIZE } from '../memory/page';

const UNITS: Record<string, number> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/**
 * Bytes of a size as people write it: `512M`, `1G`, `536870912`.
 * @throws IgvmError BOOT_OPTION when it is no size, or no multiple of a page
 */
export function parseSize(text: string | number): number {
  const match = /^(\d+)\s*([kmg]?)(?:i?b)?$/i.exec(String(text).trim());
  const bytes = match === null ? Number.NaN : Number(match[1]) * (UNITS[(match[2] ?? '').toLowerCase()] ?? Number.NaN);
  if (!Number.isSafeInteger(bytes) || bytes === 0 || bytes % PAGE_SIZE !== 0) {
    throw new IgvmError('BOOT_OPTION', `memory "${text}" is not a size like 512M or 1G`);
  }
  return bytes;
}

/** A size as people read it, in MiB. */
export const formatSize = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;
