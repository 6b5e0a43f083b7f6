import { PAGE_SIZE } from '../memory/page';
import type { GuestRegion } from '../regions/guest-regions';
import { layOut } from './map-layout';

const MIB = 2 ** 20;
const region = (gpa: number, size: number): GuestRegion => ({
  gpa,
  end: gpa + size,
  kind: 'data',
  marks: [],
  tags: [],
  emptyPages: 0,
  spans: [],
  parameters: [],
  processors: [],
});
const heightOf = ({ top, bottom }: { top: number; bottom: number }): number => bottom - top;

describe('the layout of a memory map', () => {
  it('draws sizes to scale in one column', () => {
    const { regions, bytesPerUnit } = layOut([region(0, 2 * MIB), region(2 * MIB, 6 * MIB)]);
    const [first, second] = regions.map(({ toScale }) => heightOf(toScale));
    expect(second! / first!).toBeCloseTo(3);
    expect(first! * bytesPerUnit).toBeCloseTo(2 * MIB);
  });

  it('draws nothing too small to be seen', () => {
    const { regions } = layOut([region(0, PAGE_SIZE), region(PAGE_SIZE, 2 ** 30)]);
    expect(heightOf(regions[0]!.toScale)).toBe(1);
  });

  it('adds the same height for each doubling in the other column', () => {
    const sizes = [1, 2, 4, 8].map((pages) => pages * PAGE_SIZE);
    const heights = sizes.map((size) => heightOf(layOut([region(0, size)]).regions[0]!.readable));
    expect(heights.map((height) => height - heights[0]!)).toEqual([0, 3, 6, 9]);
  });

  it('leaves out long gaps, and only those', () => {
    const { gaps } = layOut([region(0, MIB), region(2 * MIB, MIB), region(2 ** 40, MIB)]);
    expect(gaps.map(({ gpa, end, isCut }) => ({ gpa, end, isCut }))).toEqual([
      { gpa: MIB, end: 2 * MIB, isCut: false },
      { gpa: 3 * MIB, end: 2 ** 40, isCut: true },
    ]);
  });

  it('puts regions one below the other in both columns, even if they overlap', () => {
    const layout = layOut([region(0, 4 * MIB), region(MIB, MIB), region(3 * MIB, 2 * MIB)]);
    let reached = 0;
    for (const { readable } of layout.regions) {
      expect(readable.top).toBeGreaterThanOrEqual(reached);
      reached = readable.bottom;
    }
    expect(layout.height).toBe(reached);
  });

  it('makes a larger gap taller', () => {
    const gapOf = (size: number): number =>
      heightOf(layOut([region(MIB, MIB), region(2 * MIB + size, MIB)]).gaps[1]!.readable);
    expect(gapOf(2 ** 48) - gapOf(PAGE_SIZE)).toBe(36);
  });

  it('is finite for a guest without memory', () => {
    expect(layOut([])).toMatchObject({ height: 0, regions: [], gaps: [] });
  });
});
