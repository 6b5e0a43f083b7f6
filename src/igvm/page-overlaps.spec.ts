import { processorTime } from '../files/processor-time.fixture';
import { bytesSource } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { dump, dumpJson, dumpText } from './dump';
import { fileOf, patternPage, platformOf, runOf, written } from './igvm-file.fixture';
import { type Directive, PLATFORM_TYPE } from './model';
import { overlappingRuns, pageOverlaps } from './page-overlaps';

const page = (gpa: number, seed: number, pageCount = 1): Directive =>
  runOf(gpa * PAGE_SIZE, patternPage(seed), { pageCount });
const overlapsOf = (directives: Directive[]) =>
  pageOverlaps(fileOf(directives), 1).map(({ gpa, end }) => [gpa / PAGE_SIZE, end / PAGE_SIZE]);

describe('overlapping pages', () => {
  it('are found in any order, and adjacent ones are joined', () => {
    expect(overlapsOf([page(0, 1), page(1, 2), page(5, 3)])).toEqual([]);
    expect(overlapsOf([page(1, 1), page(0, 2, 4), page(2, 3)])).toEqual([[1, 3]]);
    expect(overlapsOf([page(0, 1, 10), page(2, 1, 2), page(6, 1), page(7, 2, 9)])).toEqual([
      [2, 4],
      [6, 10],
    ]);
  });

  it('are found only within one platform', () => {
    const file = fileOf([page(0, 1), runOf(0, patternPage(2), { compatibilityMask: 2 })], {
      platforms: [platformOf(PLATFORM_TYPE.VSM_ISOLATION), platformOf(PLATFORM_TYPE.TDX, 2)],
    });
    expect([pageOverlaps(file, 1), pageOverlaps(file, 2)]).toEqual([[], []]);
  });

  it('may involve a parameter area that the VMM fills in, with the size of the area', () => {
    const area: Directive = {
      type: 'parameterArea',
      index: 3,
      size: 2 * PAGE_SIZE,
      initialData: bytesSource(new Uint8Array()),
    };
    const insert: Directive = { type: 'parameterInsert', index: 3, gpa: 0, compatibilityMask: 1 };
    const directives = [area, insert, page(1, 1), page(2, 1)];
    expect(overlapsOf(directives)).toEqual([[1, 2]]);
    expect(overlappingRuns(fileOf(directives), 1)).toEqual([directives[2]]);
  });

  it('are shown by dump, as text and as JSON', async () => {
    const file = fileOf([page(0, 1), page(0, 2)]);
    const source = bytesSource((await written(file)).bytes);
    const contents = () => dump(file, source, () => []);
    expect([...dumpText(contents())].join('')).toMatch(/Overlapping pages.*:\n {2}overlap +gpa 0x0 {2}end 0x1000/);
    const { overlaps } = JSON.parse([...dumpJson(contents())].join('')) as { overlaps: object[] };
    expect(overlaps).toEqual([{ type: 'overlap', gpa: 0, end: PAGE_SIZE, compatibilityMask: 1 }]);
    const plain = dump(fileOf([page(0, 1)]), source, () => []);
    expect([...dumpText(plain)].join('')).not.toContain('Overlapping pages');
  });

  it('are found in a time bounded by the size of the file', () => {
    const many = Array.from({ length: 100_000 }, (_, index) => page(2 * index, 1));
    const seconds = processorTime();
    expect(pageOverlaps(fileOf([page(0, 1, 200_000), ...many]), 1)).toHaveLength(100_000);
    expect(seconds()).toBeLessThan(4);
  });
});
