import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { mapBeside, TagIndex } from './image-map';

const MAP = `IGVM file isolation: None
IGVM file layout:
  0000000000001000 - 0000000000003000 (0x2000 bytes) kernel
`;

describe('mapBeside', () => {
  let folder: string;
  beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'nx-igvm-map-'))));
  afterEach(() => rmSync(folder, { recursive: true }));
  const image = (): string => join(folder, 'a.igvm');
  const map = (): string => `${image()}.map`;

  it('reads the map file beside an image', () => {
    writeFileSync(map(), MAP);
    expect(mapBeside(image())).toEqual([[{ gpa: 0x1000, end: 0x3000, tag: 'kernel' }]]);
  });

  it('finds no names in a file that is not a map', () => {
    writeFileSync(map(), Uint8Array.of(0, 255, 10, 200));
    expect(mapBeside(image())).toEqual([]);
  });

  const SIZE_LIMIT = 16 * 2 ** 20;
  it.each<[what: string, make: () => void]>([
    ['is not there', () => undefined],
    ['is a folder', () => mkdirSync(map())],
    [
      'is a symbolic link, which could lead anywhere',
      () => {
        writeFileSync(join(folder, 'other'), MAP);
        symlinkSync(join(folder, 'other'), map());
      },
    ],
    [
      'is larger than any map',
      () => {
        writeFileSync(map(), MAP);
        truncateSync(map(), SIZE_LIMIT + 1);
      },
    ],
  ])('ignores one that %s', (_, make) => {
    make();
    expect(mapBeside(image())).toBeUndefined();
  });

  it('finds none for an impossible file name', () => {
    expect(mapBeside(join(folder, 'a\0'))).toBeUndefined();
  });

  it('reads a map of exactly the maximum size', () => {
    writeFileSync(map(), MAP);
    truncateSync(map(), SIZE_LIMIT);
    expect(mapBeside(image())?.[0]).toHaveLength(1);
  });
});

const range = (gpa: number, end: number, tag: string) => ({ gpa, end, tag });

describe('TagIndex', () => {
  const index = new TagIndex([
    range(0x1000, 0x3000, 'kernel'),
    range(0x2000, 0x4800, 'initrd'),
    range(0x9000, 0xa000, 'kernel'),
  ]);

  it('returns the name at an address, and for how many pages it applies', () => {
    expect(index.at(0)).toEqual({ until: 0x1000 });
    expect(index.at(0x1000)).toEqual({ tag: 'kernel', until: 0x3000 });
    expect(index.at(0x3000)).toEqual({ tag: 'initrd', until: 0x5000 });
    expect(index.at(0x5000)).toEqual({ until: 0x9000 });
    expect(index.at(0xa000)).toEqual({ until: Number.POSITIVE_INFINITY });
  });

  it('returns the names in a range, each once', () => {
    expect([...index.within(0, 0x1000)]).toEqual([]);
    expect([...index.within(0, 0x1001)]).toEqual(['kernel']);
    expect([...index.within(0x2fff, 0x9001)]).toEqual(['kernel', 'initrd']);
    expect([...index.within(0x4800, 0x9000)]).toEqual([]);
    expect([...index.within(0x4fff, 0x20000)]).toEqual(['kernel']);
  });

  it('agrees with a linear search in disjoint ranges', () => {
    const gaps = fc.array(fc.record({ gap: fc.nat(3), size: fc.integer({ min: 1, max: 3 }), tag: fc.string() }));
    fc.assert(
      fc.property(gaps, fc.nat(60), fc.nat(20), (specs, start, size) => {
        let last = 0;
        const ranges = specs.map(({ gap, size: length, tag }) => {
          const gpa = last + gap;
          last = gpa + length;
          return range(gpa, last, tag);
        });
        const expected = ranges.filter(({ gpa, end }) => gpa < start + size && end > start).map(({ tag }) => tag);
        const found = new TagIndex(ranges).within(start, start + size);
        expect([...found]).toEqual([...new Set(expected)]);
      }),
    );
  });
});
