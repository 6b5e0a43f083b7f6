import fc from 'fast-check';
import { PLAIN_DIRECTIVES, PLAIN_INITIALIZATIONS } from './field-tables';
import type { Struct } from './struct';

const HEADERS = Object.entries({ ...PLAIN_INITIALIZATIONS, ...PLAIN_DIRECTIVES } as unknown as Record<
  string,
  Struct<object>
>);

/** The bits of a structure that may be set: those that are accepted when set alone. */
function freeBits(of: Struct<object>): Uint8Array {
  const free = new Uint8Array(of.size);
  for (let bit = 0; bit < 8 * of.size; bit++) {
    const bytes = new Uint8Array(of.size);
    bytes[bit >> 3] = 1 << (bit & 7);
    try {
      of.read(new DataView(bytes.buffer), 0);
      free[bit >> 3] = (free[bit >> 3] ?? 0) | (1 << (bit & 7));
    } catch {
      // Reserved, or outside the range of the field.
    }
  }
  return free;
}

describe.each(HEADERS)('the structure of %s', (_, of) => {
  const free = freeBits(of);
  const anyBytes = fc
    .uint8Array({ minLength: of.size, maxLength: of.size })
    .map((bytes) => bytes.map((byte, at) => byte & (free[at] ?? 0)));

  it('is written as it was read, whatever its values', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const written = new Uint8Array(of.size).fill(0xff);
        of.write(new DataView(written.buffer), 0, of.read(new DataView(bytes.slice().buffer), 0));
        expect(written).toEqual(bytes);
      }),
    );
  });

  it('has a compatibility mask where merging relies on it', () => {
    expect(Object.keys(of.offsets)).toContain('compatibilityMask');
  });
});
