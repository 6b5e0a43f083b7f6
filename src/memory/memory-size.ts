const UNITS: Record<string, number> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** Bytes of a size as people write it: `512M`, `1G`, `1 GiB`, `536870912`. Undefined when it is none, or nothing. */
export function readMemorySize(text: string | number): number | undefined {
  const [, digits, unit] = /^(\d+)\s*([kmg]?)(?:i?b)?$/i.exec(String(text).trim()) ?? [];
  if (digits === undefined || unit === undefined) return undefined;
  const bytes = Number(digits) * (UNITS[unit.toLowerCase()] ?? Number.NaN);
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined;
}

/** A size as people read it, in MiB. */
export const formatMemorySize = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;
