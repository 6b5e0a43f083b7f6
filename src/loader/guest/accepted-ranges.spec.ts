import { IgvmError } from '../../errors/igvm-error';
import { AcceptedRanges } from './accepted-ranges';

const accept = (ranges: AcceptedRanges, pageBase: number, pageCount: number, tag = 'data'): void =>
  ranges.accept({ pageBase, pageCount, tag, acceptance: 'exclusive' });

const bounds = (ranges: AcceptedRanges): [number, number][] =>
  ranges.list().map(({ pageBase, pageCount }) => [pageBase, pageCount]);

function failure(action: () => void): IgvmError {
  try {
    action();
  } catch (error) {
    if (error instanceof IgvmError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('AcceptedRanges', () => {
  it('sorts ranges by address, in whatever order they were accepted', () => {
    const ranges = new AcceptedRanges();
    accept(ranges, 15, 5);
    accept(ranges, 0, 5);
    accept(ranges, 10, 5);
    expect(bounds(ranges)).toEqual([
      [0, 5],
      [10, 5],
      [15, 5],
    ]);
  });

  it('names both ranges that need the same pages', () => {
    const ranges = new AcceptedRanges();
    accept(ranges, 0x1000, 3, 'linux-kernel');
    const error = failure(() => accept(ranges, 0x1002, 1, 'linux-initrd'));
    expect(error.code).toBe('LAYOUT_OVERLAP');
    expect(error.message).toBe('linux-initrd at 0x1002000-0x1003000 overlaps linux-kernel at 0x1000000-0x1003000');
    expect(error.where.gpa).toEqual({ start: 0x1002000, end: 0x1003000 });
  });

  it.each([
    [4, 2],
    [0, 6],
    [5, 1],
    [9, 5],
    [0, 100],
    [6, 2],
  ])('refuses %i pages + %i over pages 5 to 9', (pageBase, pageCount) => {
    const ranges = new AcceptedRanges();
    accept(ranges, 5, 5);
    expect(failure(() => accept(ranges, pageBase, pageCount)).code).toBe('LAYOUT_OVERLAP');
    expect(bounds(ranges)).toEqual([[5, 5]]);
  });

  it('accepts adjacent ranges', () => {
    const ranges = new AcceptedRanges();
    accept(ranges, 5, 5);
    accept(ranges, 4, 1);
    accept(ranges, 10, 1);
    expect(bounds(ranges)).toHaveLength(3);
  });

  it('refuses addresses of more than 52 bits', () => {
    const ranges = new AcceptedRanges();
    accept(ranges, 2 ** 40 - 1, 1);
    expect(failure(() => accept(ranges, 2 ** 40, 1))).toMatchObject({
      code: 'LAYOUT_OUT_OF_RANGE',
      where: { gpa: { start: 2 ** 52, end: 2 ** 52 + 4096 } },
    });
  });

  it('joins neighbours only when tag and acceptance agree', () => {
    const ranges = new AcceptedRanges();
    accept(ranges, 0, 2, 'kernel');
    accept(ranges, 2, 2, 'kernel');
    accept(ranges, 4, 2, 'initrd');
    ranges.accept({ pageBase: 6, pageCount: 1, tag: 'initrd', acceptance: 'shared' });
    accept(ranges, 9, 1, 'initrd');
    ranges.mergeAdjacent();
    expect(bounds(ranges)).toEqual([
      [0, 4],
      [4, 2],
      [6, 1],
      [9, 1],
    ]);
  });

  it('lists the gaps below a limit', () => {
    const ranges = new AcceptedRanges();
    accept(ranges, 1, 2);
    accept(ranges, 3, 1);
    accept(ranges, 6, 2);
    accept(ranges, 0xffffffff, 1);
    expect(ranges.gaps(10)).toEqual([
      { pageBase: 0, pageCount: 1 },
      { pageBase: 4, pageCount: 2 },
      { pageBase: 8, pageCount: 2 },
    ]);
    expect(ranges.gaps(7)).toEqual([
      { pageBase: 0, pageCount: 1 },
      { pageBase: 4, pageCount: 2 },
    ]);
    expect(new AcceptedRanges().gaps(3)).toEqual([{ pageBase: 0, pageCount: 3 }]);
  });
});
