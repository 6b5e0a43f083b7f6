import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mapBeside } from './image-map';

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

  it('finds no names in a file that is no map', () => {
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
  ])('does without one that %s', (_, make) => {
    make();
    expect(mapBeside(image())).toBeUndefined();
  });

  it('does without one beside a name that no file can have', () => {
    expect(mapBeside(join(folder, 'a\0'))).toBeUndefined();
  });

  it('reads one of the size of the limit', () => {
    writeFileSync(map(), MAP);
    truncateSync(map(), SIZE_LIMIT);
    expect(mapBeside(image())?.[0]).toHaveLength(1);
  });
});
