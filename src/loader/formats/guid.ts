/** UEFI stores the first three of a GUID's five parts with the lowest byte first (UEFI specification, appendix A). */
const REVERSED_PARTS = 3;

/** A GUID as UEFI stores it, 16 bytes. @param text in the usual form, `dc886566-984a-…` */
export function guidBytes(text: string): Uint8Array {
  const bytes = text.split('-').flatMap((part, index) => {
    const pairs = Array.from(part.matchAll(/../g), ([pair]) => Number.parseInt(pair, 16));
    return index < REVERSED_PARTS ? pairs.reverse() : pairs;
  });
  return Uint8Array.from(bytes);
}

/** {@link guidBytes} in hexadecimal, to compare with. */
export const hexOfGuid = (text: string): string =>
  Array.from(guidBytes(text), (byte) => byte.toString(16).padStart(2, '0')).join('');
