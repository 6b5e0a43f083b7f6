import fc from 'fast-check';
import {
  headerSizeFor,
  isKnown,
  isOptional,
  sectionOf,
  PLAIN_DIRECTIVES,
  PLAIN_INITIALIZATIONS,
} from './header-tables';
import type { Struct } from './struct';

describe('the type of a header', () => {
  it.each([
    ['platform', 0x1, 0x100],
    ['initialization', 0x101, 0x200],
    ['directive', 0x301, 0x400],
  ])('determines its section: %s', (section, first, last) => {
    for (const type of [first, last]) {
      expect(sectionOf(type)).toBe(section);
      expect(sectionOf(0x8000_0000 + type)).toBe(section);
    }
  });

  it.each([0, 0x201, 0x300, 0x401, 0x7fff_ffff])('%i belongs to no section', (type) => {
    expect(sectionOf(type)).toBeUndefined();
    expect(sectionOf(0x8000_0000 + type)).toBeUndefined();
  });

  it('has a bit that allows a loader to skip the header', () => {
    expect(isOptional(0x8000_0000)).toBe(true);
    expect(isOptional(0xffff_ffff)).toBe(true);
    expect(isOptional(0x7fff_ffff)).toBe(false);
  });

  it('is known with and without that bit', () => {
    const known = [
      [0x1],
      [0x101, 0x102, 0x103, 0x104, 0x105, 0x106, 0x107],
      [0x301, 0x302, 0x303, 0x304, 0x305, 0x307, 0x308, 0x309, 0x30a, 0x30b, 0x30c, 0x30d, 0x30e, 0x30f, 0x310, 0x311],
      [0x312, 0x313],
    ].flat();
    const all = Array.from({ length: 0x500 }, (_, type) => type);
    expect(all.filter(isKnown)).toEqual(known);
    expect(all.filter((type) => isKnown(0x8000_0000 + type))).toEqual(known);
  });
});

describe('a header in the file', () => {
  it('has type and length, and is padded to a multiple of eight bytes', () => {
    expect([0, 1, 8, 9, 12].map(headerSizeFor)).toEqual([8, 16, 16, 24, 24]);
  });
});

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
