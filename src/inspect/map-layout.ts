import { PAGE_SIZE } from '../memory/page';

/** What the layout needs to know about a range of memory with a row. Bytes; `end` is exclusive. */
export interface MappedRange {
  gpa: number;
  end: number;
}

/** A vertical stretch of the picture, in its units from the top. */
export interface Stretch {
  top: number;
  bottom: number;
}

/** A region in both columns: drawn to scale, and tall enough to be read. */
export interface PlacedRegion<R extends MappedRange = MappedRange> {
  region: R;
  toScale: Stretch;
  readable: Stretch;
}

/** Addresses without a region, between two regions. */
export interface PlacedGap {
  gpa: number;
  end: number;
  toScale: Stretch;
  readable: Stretch;
  /** Whether the column that is to scale leaves it out and shows a break. */
  isCut: boolean;
}

/** The places of all regions and gaps in a guest's memory. */
export interface MapLayout<R extends MappedRange = MappedRange> {
  height: number;
  /** Bytes that one unit stands for in the column that is to scale. */
  bytesPerUnit: number;
  regions: PlacedRegion<R>[];
  gaps: PlacedGap[];
}

/** Height of a region of one page, which has two lines of text, and what each doubling adds. */
const REGION_HEIGHT = 50;
const HEIGHT_PER_DOUBLING = 3;

/** Height of a gap of one page in the readable column, and what each doubling adds; height of a break in the other. */
const GAP_HEIGHT = 22;
const GAP_PER_DOUBLING = 1;
const BREAK_HEIGHT = 22;

/** Anything less tall would be invisible in the column that is to scale. */
const LEAST = 1;

/** A smaller gap is never left out. Bytes. */
const LEAST_CUT = 4 * 2 ** 20;

/**
 * Lays out regions in ascending order. A region that begins inside another one is drawn after the end of that one.
 */
export function layOut<R extends MappedRange>(regions: readonly R[]): MapLayout<R> {
  const steps = stepsOf(regions);
  const cutAbove = Math.max(LEAST_CUT, sum(regions.map(({ gpa, end }) => end - gpa)));
  const isCut = ({ region, gpa, end }: Step<R>): boolean => region === undefined && end - gpa > cutAbove;

  const height = sum(steps.map(readableHeight));
  const breaks = steps.filter(isCut).length;
  const bytes = sum(steps.filter((step) => !isCut(step)).map(({ gpa, end }) => end - gpa));
  const bytesPerUnit = Math.max(1, bytes / Math.max(1, height - breaks * BREAK_HEIGHT));

  const layout: MapLayout<R> = { height, bytesPerUnit, regions: [], gaps: [] };
  let scaleTop = 0;
  let top = 0;
  for (const step of steps) {
    const { gpa, end, region } = step;
    const scaleHeight = isCut(step) ? BREAK_HEIGHT : (end - gpa) / bytesPerUnit;
    const toScale = { top: scaleTop, bottom: scaleTop + scaleHeight };
    const readable = { top, bottom: top + readableHeight(step) };
    scaleTop = toScale.bottom;
    top = readable.bottom;
    if (region === undefined) layout.gaps.push({ gpa, end, toScale, readable, isCut: isCut(step) });
    else layout.regions.push({ region, toScale: atLeastVisible(toScale), readable });
  }
  return layout;
}

/** A region, or the gap before the next one. */
interface Step<R extends MappedRange> {
  gpa: number;
  end: number;
  region?: R;
}

function stepsOf<R extends MappedRange>(regions: readonly R[]): Step<R>[] {
  const steps: Step<R>[] = [];
  let reached = 0;
  for (const region of regions) {
    if (region.gpa > reached) steps.push({ gpa: reached, end: region.gpa });
    // Overlapping parts have no length of their own.
    steps.push({ gpa: Math.max(region.gpa, reached), end: Math.max(region.end, reached), region });
    reached = Math.max(reached, region.end);
  }
  return steps;
}

const readableHeight = ({ region, gpa, end }: Step<MappedRange>): number => {
  const range = region ?? { gpa, end };
  const doublings = Math.log2(Math.max(1, (range.end - range.gpa) / PAGE_SIZE));
  return region === undefined
    ? GAP_HEIGHT + Math.round(GAP_PER_DOUBLING * doublings)
    : REGION_HEIGHT + Math.round(HEIGHT_PER_DOUBLING * doublings);
};

const atLeastVisible = ({ top, bottom }: Stretch): Stretch => ({ top, bottom: Math.max(bottom, top + LEAST) });

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
