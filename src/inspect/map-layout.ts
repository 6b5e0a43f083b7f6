import type { GuestRegion } from '../regions/guest-regions';
import { PAGE_SIZE } from '../memory/page';

/** A stretch of the picture, in its units from the top. */
export interface Stretch {
  top: number;
  bottom: number;
}

/** A region in both columns: drawn to scale, and large enough to be read. */
export interface PlacedRegion {
  region: GuestRegion;
  toScale: Stretch;
  readable: Stretch;
}

/** Addresses without a region, between two regions. */
export interface PlacedGap {
  gpa: number;
  end: number;
  toScale: Stretch;
  readable: Stretch;
  /** Left out of the column that is to scale, which shows a break there. */
  isCut: boolean;
}

/** Where everything of a guest's memory goes. */
export interface MapLayout {
  height: number;
  /** Bytes that one unit stands for in the column that is to scale. */
  bytesPerUnit: number;
  regions: PlacedRegion[];
  gaps: PlacedGap[];
  /** Place of an address in the readable column. */
  placeOf(gpa: number): number;
}

/** Height of a region of one page, and what each doubling adds. */
const REGION_HEIGHT = 32;
const HEIGHT_PER_DOUBLING = 3;

/** Height of a gap in the readable column, and of a break in the other. */
const GAP_HEIGHT = 24;
const BREAK_HEIGHT = 22;

/** What is narrower than this in the column that is to scale could not be seen. */
const LEAST = 1;

/** A gap below this is never left out. */
const LEAST_CUT = 4 * 2 ** 20;

/**
 * Lays out regions in ascending order. A region that begins inside another one is drawn behind its end.
 * @param memoryEnd where the guest's memory ends, if something says so
 */
export function layOut(regions: readonly GuestRegion[], memoryEnd = 0): MapLayout {
  const steps = stepsOf(regions, memoryEnd);
  const cutAbove = Math.max(LEAST_CUT, sum(regions.map(({ gpa, end }) => end - gpa)));
  const isCut = ({ region, gpa, end }: Step): boolean => region === undefined && end - gpa > cutAbove;

  const height = sum(steps.map(readableHeight));
  const breaks = steps.filter(isCut).length;
  const bytes = sum(steps.filter((step) => !isCut(step)).map(({ gpa, end }) => end - gpa));
  const bytesPerUnit = Math.max(1, bytes / Math.max(1, height - breaks * BREAK_HEIGHT));

  const places: (Step & Stretch)[] = [];
  const layout: MapLayout = { height, bytesPerUnit, regions: [], gaps: [], placeOf: placing(places) };
  let scaleTop = 0;
  let top = 0;
  for (const step of steps) {
    const { gpa, end, region } = step;
    const scaleHeight = isCut(step) ? BREAK_HEIGHT : (end - gpa) / bytesPerUnit;
    const toScale = { top: scaleTop, bottom: scaleTop + scaleHeight };
    const readable = { top, bottom: top + readableHeight(step) };
    scaleTop = toScale.bottom;
    top = readable.bottom;
    places.push({ ...step, ...readable });
    if (region === undefined) layout.gaps.push({ gpa, end, toScale, readable, isCut: isCut(step) });
    else layout.regions.push({ region, toScale: atLeastVisible(toScale), readable });
  }
  return layout;
}

/** A region, or the gap before the next one. */
interface Step {
  gpa: number;
  end: number;
  region?: GuestRegion;
}

function stepsOf(regions: readonly GuestRegion[], memoryEnd: number): Step[] {
  const steps: Step[] = [];
  let reached = 0;
  for (const region of regions) {
    if (region.gpa > reached) steps.push({ gpa: reached, end: region.gpa });
    // Overlapping parts have no length of their own.
    steps.push({ gpa: Math.max(region.gpa, reached), end: Math.max(region.end, reached), region });
    reached = Math.max(reached, region.end);
  }
  if (memoryEnd > reached) steps.push({ gpa: reached, end: memoryEnd });
  return steps;
}

const readableHeight = ({ region }: Step): number => {
  if (region === undefined) return GAP_HEIGHT;
  const pages = Math.max(1, (region.end - region.gpa) / PAGE_SIZE);
  return REGION_HEIGHT + Math.round(HEIGHT_PER_DOUBLING * Math.log2(pages));
};

const atLeastVisible = ({ top, bottom }: Stretch): Stretch => ({ top, bottom: Math.max(bottom, top + LEAST) });

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function placing(steps: readonly (Step & Stretch)[]): (gpa: number) => number {
  return (gpa) => {
    const step = steps.find(({ end }) => gpa < end);
    if (step === undefined) return steps.at(-1)?.bottom ?? 0;
    const part = step.end === step.gpa ? 0 : Math.max(0, gpa - step.gpa) / (step.end - step.gpa);
    return step.top + part * (step.bottom - step.top);
  };
}
