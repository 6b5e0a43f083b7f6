import { fileOf, patternPage, runOf } from '../igvm/igvm-file.fixture';
import type { PageDataDirective } from '../igvm/model';
import { EMPTY_SOURCE } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { guestPages, readPages, storedEnd } from './guest-pages';

const run = (page: number, pageCount: number, compatibilityMask = 1): PageDataDirective =>
  runOf(page * PAGE_SIZE, EMPTY_SOURCE, { pageCount, compatibilityMask });

/** The pages of each span, by page number, with the index of its run. */
const spansOf = (runs: PageDataDirective[], mask = 1) =>
  guestPages(fileOf(runs), mask).map(({ gpa, end, run: from }) => [
    gpa / PAGE_SIZE,
    end / PAGE_SIZE,
    runs.indexOf(from),
  ]);

describe('guestPages', () => {
  it('are those of one platform by ascending address', () => {
    const runs = [run(8, 2), run(4, 1, 2), run(2, 3, 3)];
    expect(spansOf(runs)).toEqual([
      [2, 5, 2],
      [8, 10, 0],
    ]);
    expect(spansOf([run(0, 1, 0x8000_0000)], 0x8000_0000)).toEqual([[0, 1, 0]]);
  });

  it('belong to the run that starts first if two runs overlap', () => {
    expect(spansOf([run(3, 4), run(1, 4)])).toEqual([
      [1, 5, 1],
      [5, 7, 0],
    ]);
    expect(spansOf([run(1, 8), run(2, 3), run(8, 2)])).toEqual([
      [1, 9, 0],
      [9, 10, 2],
    ]);
    expect(spansOf([run(1, 2), run(1, 3)])).toEqual([
      [1, 3, 0],
      [3, 4, 1],
    ]);
  });
});

describe('the pages of a run', () => {
  const partly = runOf(0x1000, patternPage(1).subarray(0, 100), { pageCount: 3 });

  it('are stored up to the last page with data', () => {
    expect(storedEnd(partly)).toBe(0x2000);
    expect(storedEnd(run(1, 3))).toBe(0x1000);
  });

  it('are zero where nothing is stored', () => {
    const target = new Uint8Array(2 * PAGE_SIZE).fill(0xff);
    readPages(partly, 0x1000, target);
    expect(target.subarray(0, 100)).toEqual(patternPage(1).subarray(0, 100));
    expect(target.subarray(100).every((byte) => byte === 0)).toBe(true);
    target.fill(0xff);
    readPages(partly, 0x2000, target);
    expect(target.every((byte) => byte === 0)).toBe(true);
  });
});
