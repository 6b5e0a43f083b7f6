import { escapeJson } from '../errors/printable';
import type { Dump, DumpRecord } from './dump';

/**
 * A dump as JSON for programs, in pieces: one header a line. Addresses, sizes and masks are numbers; 64-bit fields whose
 * bits have meanings (policies, registers, boundaries) are strings like "0x1f"; bytes are hexadecimal strings. Nothing
 * that comes from the file can do anything to a terminal.
 */
export function* dumpJson({ fixedHeader, platforms, initializations, directives, overlaps }: Dump): Generator<string> {
  yield `{\n"fixedHeader": ${recordJson(fixedHeader)}`;
  for (const [section, records] of Object.entries({
    platforms,
    initializations,
    directives,
    ...(overlaps === undefined ? {} : { overlaps }),
  })) {
    yield `,\n"${section}": [`;
    let separator = '\n';
    for (const record of records) {
      yield `${separator}${recordJson(record)}`;
      separator = ',\n';
    }
    yield '\n]';
  }
  yield '\n}\n';
}

/** One record as JSON, on one line. */
export const recordJson = (record: DumpRecord): string =>
  escapeJson(
    JSON.stringify(record, (_, value: unknown) => {
      if (typeof value === 'bigint') return `0x${value.toString(16)}`;
      return value instanceof Uint8Array ? hexOf(value) : value;
    }),
  );

/** Bytes in lower-case hexadecimal. */
export const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
