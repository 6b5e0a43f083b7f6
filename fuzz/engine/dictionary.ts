import type { Literals } from './instrument';

/** Values to put into inputs. */
export type Dictionary = readonly Uint8Array[];

/** A value's bytes in the widths and orders that formats use. */
function numberBytes(value: bigint): Uint8Array[] {
  const widths = [1, 2, 4, 8].filter((width) => value < 1n << BigInt(8 * width));
  return widths.slice(0, 2).flatMap((width) => {
    const little = Uint8Array.from({ length: width }, (_, index) => Number((value >> BigInt(8 * index)) & 0xffn));
    return width === 1 ? [little] : [little, Uint8Array.from(little).reverse()];
  });
}

const textBytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The target's own words twice, because they matter most. */
export const ownDictionary = (values: readonly (string | Uint8Array)[]): Dictionary =>
  values.map((value) => (typeof value === 'string' ? textBytes(value) : value));

/** The constants of code, as bytes or, for a text format, as text. */
export function dictionaryOf(literals: readonly Literals[], format: 'binary' | 'json'): Dictionary {
  const numbers = new Set(literals.flatMap((each) => each.numbers));
  const strings = new Set(literals.flatMap((each) => each.strings));
  const numeric =
    format === 'json'
      ? [...numbers].map((value) => textBytes(String(value)))
      : [...numbers].filter((value) => value >= 0n && value < 1n << 64n).flatMap(numberBytes);
  return [...numeric, ...[...strings].map((text) => textBytes(format === 'json' ? JSON.stringify(text) : text))];
}
