/** A digest as reports, documents and locks show it: upper-case hexadecimal, as igvmfilegen has it. */
export const digestHex = (digest: Uint8Array): string => Buffer.from(digest).toString('hex').toUpperCase();
