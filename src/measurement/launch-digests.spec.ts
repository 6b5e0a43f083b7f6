import type { ParameterAreaDirective, ParameterInsertDirective } from '../igvm/model';
import { EMPTY_SOURCE } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import { isForPlatform, ParameterAreas } from './launch-digests';

describe('a directive', () => {
  it('belongs to a platform if its mask has all bits of the platform', () => {
    expect(isForPlatform({ compatibilityMask: 0b101 }, 0b100)).toBe(true);
    expect(isForPlatform({ compatibilityMask: 0b101 }, 0b010)).toBe(false);
    expect(isForPlatform({ compatibilityMask: 0b101 }, 0b110)).toBe(false);
  });

  it('may belong to the platform with the highest bit', () => {
    expect(isForPlatform({ compatibilityMask: 0x8000_0001 }, 0x8000_0000)).toBe(true);
    expect(isForPlatform({ compatibilityMask: 0x7fff_ffff }, 0x8000_0000)).toBe(false);
  });

  it('belongs to all platforms if it has no mask', () => {
    expect(isForPlatform({}, 1)).toBe(true);
    expect(isForPlatform({ compatibilityMask: undefined }, 1)).toBe(true);
  });
});

const MOST = 256 * 2 ** 20;

const area = (index: number, size: number): ParameterAreaDirective => ({
  type: 'parameterArea',
  index,
  size,
  initialData: EMPTY_SOURCE,
});
const insert = (index: number, gpa: number): ParameterInsertDirective => ({
  type: 'parameterInsert',
  index,
  gpa,
  compatibilityMask: 1,
});

const impossible = (message: RegExp) =>
  expect.objectContaining({ code: 'MEASUREMENT_IMPOSSIBLE', message: expect.stringMatching(message) });

describe('the pages without contents that a guest gets', () => {
  it('are those of a parameter area, at the place of its insertion', () => {
    const areas = new ParameterAreas();
    areas.add(area(3, 2 * PAGE_SIZE));
    expect([...areas.pagesOf(insert(3, 0x5000))]).toEqual([0x5000, 0x6000]);
  });

  it('are those of any range', () => {
    expect([...new ParameterAreas().pagesOfRange(0x5000, PAGE_SIZE + 1)]).toEqual([0x5000, 0x6000]);
  });

  it('are 256 MiB at most in total, so that a small file cannot take long to measure', () => {
    const areas = new ParameterAreas();
    const count = [...areas.pagesOfRange(0, MOST - PAGE_SIZE)].length;
    expect(count).toBe(MOST / PAGE_SIZE - 1);
    expect([...areas.pagesOfRange(MOST, 1)]).toEqual([MOST]);
    expect(() => [...areas.pagesOfRange(2 * MOST, 1)]).toThrow(impossible(/more than 256 MiB/));
  });

  it('are not known for an area that does not exist, or exists twice', () => {
    const areas = new ParameterAreas();
    expect(() => [...areas.pagesOf(insert(1, 0))]).toThrow(impossible(/never defined/));
    areas.add(area(1, PAGE_SIZE));
    expect(() => areas.add(area(1, PAGE_SIZE))).toThrow(impossible(/defined twice/));
  });
});
