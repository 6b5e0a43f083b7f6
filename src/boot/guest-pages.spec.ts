import { bytesSource, EMPTY_SOURCE } from '../memory/byte-source';
import { GuestPages } from './guest-pages';

const filled = (byte: number, size: number) => bytesSource(new Uint8Array(size).fill(byte));

describe('guest pages', () => {
  const pages = () =>
    new GuestPages([
      { gpa: 0x3000, size: 0x2000, content: filled(2, 0x1800) },
      { gpa: 0x1000, size: 0x2000, content: filled(1, 0x2000) },
      { gpa: 0x8000, size: 0x1000, content: EMPTY_SOURCE },
    ]);

  it('are read across ranges, with zeros after a content', () => {
    const bytes = pages().read(0x2ffe, 4);
    expect(bytes).toEqual(Uint8Array.of(1, 1, 2, 2));
    expect(pages().read(0x47fe, 4)).toEqual(Uint8Array.of(2, 2, 0, 0));
    expect(pages().page(0x8000)).toEqual(new Uint8Array(4096));
  });

  it('are undefined where the image has none', () => {
    expect(pages().read(0x4ffe, 4)).toBeUndefined();
    expect(pages().page(0)).toBeUndefined();
    expect(pages().has(0x1000, 0x4000)).toBe(true);
    expect(pages().has(0x1000, 0x4001)).toBe(false);
  });

  it('are limited to the requested range', () => {
    const cut = pages().within(0x2000, 0x4000);
    expect(cut.map(({ gpa, size, content }) => [gpa, size, content.size])).toEqual([
      [0x2000, 0x1000, 0x1000],
      [0x3000, 0x1000, 0x1000],
    ]);
    expect(
      pages()
        .within(0x4000, 0x5000)
        .map(({ content }) => content.size),
    ).toEqual([0x800]);
    expect(pages().end).toBe(0x9000);
  });

  it('can be written, across ranges and after a content', () => {
    const written = pages();
    written.write(0x2fff, Uint8Array.of(7, 8));
    written.write(0x4900, Uint8Array.of(9));
    written.write(0x4900, Uint8Array.of(10));
    expect(written.read(0x2ffe, 4)).toEqual(Uint8Array.of(1, 7, 8, 2));
    expect(written.read(0x48ff, 3)).toEqual(Uint8Array.of(0, 10, 0));
  });

  it('have one content each', () => {
    const overlapping = [
      { gpa: 0x1000, size: 0x2000, content: EMPTY_SOURCE },
      { gpa: 0x2000, size: 0x1000, content: EMPTY_SOURCE },
    ];
    expect(() => new GuestPages(overlapping)).toThrow(
      expect.objectContaining({ code: 'BOOT_LAYOUT', where: { gpa: { start: 0x2000, end: 0x3000 } } }),
    );
  });
});
