/**
 * The order in which a pass over a file shows its directives. Each platform has headers of its own for pages that several platforms
 * have, but the file holds their data once.
 */
import { originOf } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';
import type { Directive, IgvmFile, PageDataDirective } from './model';

/** Adjacent pages of a run, or of several runs with the same data. */
export interface PagesStep {
  readonly type: 'pages';
  /** Each with the number of its first page. */
  readonly runs: readonly { readonly run: PageDataDirective; readonly firstPage: number }[];
  readonly pageCount: number;
  /** Whether the pages have data; otherwise they are empty. */
  readonly hasData: boolean;
}

export type Step = PagesStep | Exclude<Directive, PageDataDirective>;

const filledPages = ({ content }: PageDataDirective): number => Math.ceil(content.size / PAGE_SIZE);

/** All directives in file order. */
export function* inFileOrder(directives: readonly Directive[]): Generator<Step> {
  for (const directive of directives) {
    if (directive.type === 'pageData') yield* pagesFrom(directive, 0);
    else yield directive;
  }
}

/** The pages of a run from `first` on: those with data, and then the empty ones. */
function* pagesFrom(run: PageDataDirective, first: number): Generator<PagesStep> {
  const filled = filledPages(run);
  const pages = (firstPage: number, end: number, hasData: boolean): PagesStep => ({
    type: 'pages',
    runs: [{ run, firstPage }],
    pageCount: end - firstPage,
    hasData,
  });
  if (first < filled) yield pages(first, filled, true);
  if (filled < run.pageCount) yield pages(Math.max(first, filled), run.pageCount, false);
}

/**
 * All directives, with those of each platform in file order, and data that several platforms have once for all of them. A platform waits
 * at such data until the others have come to it. If every platform waits, because they have the data in different orders, one goes on,
 * and the data is read again later.
 */
export function readingOrder({ platforms, directives }: Pick<IgvmFile, 'platforms' | 'directives'>): Iterable<Step> {
  if (platforms.length < 2) return inFileOrder(directives);
  const data = new SharedData(directives);
  return data.isShared ? new Schedule(directives, data).steps() : inFileOrder(directives);
}

const BITS = Array.from({ length: 32 }, (_, bit) => bit);
const bitsOf = (mask: number): number[] => BITS.filter((bit) => (mask >>> bit) % 2 === 1);

/** The most counters of {@link SharedData}: 64 MiB. A file that is made to need more is read in file order. */
const MOST_COUNTERS = 2 ** 24;

/** The data of a file, in stretches that end where a run begins or ends, and how often each platform still needs each stretch. */
class SharedData {
  /** Whether platforms share data. */
  readonly isShared: boolean;
  /** The bounds of the stretches, ascending; see {@link place}. */
  private readonly bounds: Float64Array;
  /** A row for each stretch, with a counter for each platform. */
  private readonly needs: Int32Array;
  private readonly bits: readonly number[];
  private readonly source: object | undefined;

  constructor(directives: readonly Directive[]) {
    const runs = directives.filter((directive) => directive.type === 'pageData').filter(hasWholePages);
    this.source = runs[0] && originOf(runs[0].content).of;
    this.bits = bitsOf(runs.reduce((mask, { compatibilityMask }) => mask | compatibilityMask, 0));
    this.bounds = this.boundsOf(runs);
    const isSmall = this.bounds.length * this.bits.length <= MOST_COUNTERS;
    this.needs = new Int32Array(isSmall ? this.bounds.length * this.bits.length : 0);
    this.isShared = isSmall && this.count(runs);
  }

  /** Where runs begin and end, ascending and each once. */
  private boundsOf(runs: readonly PageDataDirective[]): Float64Array {
    const places = new Float64Array(2 * runs.length);
    for (const [index, run] of runs.entries()) {
      places[2 * index] = this.place(run, 0) ?? 0;
      places[2 * index + 1] = this.place(run, filledPages(run)) ?? 0;
    }
    places.sort();
    let kept = 0;
    for (const place of places) if (kept === 0 || place !== places[kept - 1]) places[kept++] = place;
    return places.subarray(0, kept);
  }

  /** Counts what the platforms need. @returns whether runs of different platforms have a stretch in common */
  private count(runs: readonly PageDataDirective[]): boolean {
    // First the changes from one stretch to the next, then their sums.
    const runsOfStretch = new Int32Array(this.bounds.length);
    for (const run of runs) {
      const [first, end] = [this.stretchAt(run, 0), this.stretchAt(run, filledPages(run))];
      if (first === undefined || end === undefined) continue;
      runsOfStretch[first]!++;
      runsOfStretch[end]!--;
      this.change(first, run.compatibilityMask, 1);
      this.change(end, run.compatibilityMask, -1);
    }
    const columns = this.bits.length;
    for (let at = columns; at < this.needs.length; at++) this.needs[at]! += this.needs[at - columns]!;
    let isShared = false;
    for (let stretch = 0; stretch < this.bounds.length; stretch++) {
      if (stretch > 0) runsOfStretch[stretch]! += runsOfStretch[stretch - 1]!;
      // A platform comes to its own runs one after the other.
      let mostOfOne = 0;
      for (let at = stretch * columns; at < (stretch + 1) * columns; at++)
        mostOfOne = Math.max(mostOfOne, this.needs[at]!);
      isShared ||= runsOfStretch[stretch]! > mostOfOne;
    }
    return isShared;
  }

  /**
   * Where a page of a run is in the file, as a number. Only pages whose distance is a multiple of their size can have the same data, so
   * those with another remainder are far away. Undefined for data that is never shared.
   */
  private place(run: PageDataDirective, page: number): number | undefined {
    const { of, start } = originOf(run.content);
    if (of !== this.source || !hasWholePages(run)) return undefined;
    return (start % PAGE_SIZE) * 2 ** 40 + start + page * PAGE_SIZE;
  }

  /** The stretch that begins with a page of a run. */
  stretchAt(run: PageDataDirective, page: number): number | undefined {
    const place = this.place(run, page);
    if (place === undefined) return undefined;
    let [low, high] = [0, this.bounds.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.bounds[middle]! < place) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  pagesIn(stretch: number): number {
    return (this.bounds[stretch + 1]! - this.bounds[stretch]!) / PAGE_SIZE;
  }

  /** Whether no platform besides those of a mask needs a stretch. */
  isOnlyFor(stretch: number, mask: number): boolean {
    const row = stretch * this.bits.length;
    return this.bits.every((bit, column) => (mask >>> bit) % 2 === 1 || this.needs[row + column]! <= 0);
  }

  /** Adds to the counters of the platforms of a mask. */
  change(stretch: number, mask: number, by: number): void {
    const row = stretch * this.bits.length;
    for (const [column, bit] of this.bits.entries()) if ((mask >>> bit) % 2 === 1) this.needs[row + column]! += by;
  }
}

const hasWholePages = ({ content }: PageDataDirective): boolean => content.size > 0 && content.size % PAGE_SIZE === 0;

/** A directive that all its platforms have come to. */
interface Ready {
  readonly directive: Directive;
  readonly mask: number;
  /** The number of the next page of a run, and the stretch that begins with it. */
  page: number;
  stretch: number | undefined;
}

/** Lets each platform go through its directives, and waits where they have data in common. */
class Schedule {
  private readonly masks: readonly number[];
  /** For each platform the indices of its directives, and how many of them are behind it. */
  private readonly platforms: { directives: number[]; done: number }[];
  /** How many platforms have yet to come to a directive. */
  private readonly missing: Uint8Array;
  private readonly ready: Ready[] = [];

  constructor(
    private readonly directives: readonly Directive[],
    private readonly data: SharedData,
  ) {
    const maskOf = masksOf(directives);
    const all = directives.reduce(
      (mask, each) => ('compatibilityMask' in each ? mask | each.compatibilityMask : mask),
      0,
    );
    this.masks = directives.map((directive) => (maskOf(directive) & all || all) >>> 0);
    const bits = bitsOf(all);
    this.platforms = bits.map((bit) => ({
      directives: [...directives.keys()].filter((index) => (this.masks[index]! >>> bit) % 2 === 1),
      done: 0,
    }));
    this.missing = Uint8Array.from(this.masks, (mask) => bitsOf(mask).length);
    for (const { directives: own } of this.platforms) this.arrive(own[0]);
  }

  *steps(): Generator<Step> {
    while (this.ready.length > 0) {
      const next = this.ready.find((each) => this.mayGo(each)) ?? this.ready[0]!;
      const { directive, stretch } = next;
      if (directive.type !== 'pageData') yield directive;
      else if (stretch === undefined) yield* pagesFrom(directive, next.page);
      else {
        const together = this.at(stretch);
        const pageCount = this.data.pagesIn(stretch);
        const runs = together.map(({ directive: run, page }) => ({ run: run as PageDataDirective, firstPage: page }));
        yield { type: 'pages', runs, pageCount, hasData: true };
        for (const each of together) {
          this.data.change(stretch, each.mask, -1);
          each.page += pageCount;
          each.stretch = this.stretchOf(each.directive, each.page);
          if (each.page === (each.directive as PageDataDirective).pageCount) this.leave(each);
        }
        continue;
      }
      this.leave(next);
    }
  }

  private mayGo({ stretch }: Ready): boolean {
    if (stretch === undefined) return true;
    const mask = this.at(stretch).reduce((union, each) => union | each.mask, 0);
    return this.data.isOnlyFor(stretch, mask);
  }

  private at(stretch: number): Ready[] {
    return this.ready.filter((each) => each.stretch === stretch);
  }

  private stretchOf(directive: Directive, page: number): number | undefined {
    if (directive.type !== 'pageData' || page >= filledPages(directive)) return undefined;
    return this.data.stretchAt(directive, page);
  }

  /** A platform comes to a directive. */
  private arrive(index: number | undefined): void {
    if (index === undefined || --this.missing[index]! > 0) return;
    const directive = this.directives[index]!;
    this.ready.push({ directive, mask: this.masks[index]!, page: 0, stretch: this.stretchOf(directive, 0) });
  }

  private leave(done: Ready): void {
    this.ready.splice(this.ready.indexOf(done), 1);
    for (const platform of this.platforms) {
      if (this.directives[platform.directives[platform.done]!] !== done.directive) continue;
      platform.done++;
      this.arrive(platform.directives[platform.done]);
    }
  }
}

/** The platforms of a directive, as a mask: of a parameter area those into which it is inserted; 0 for all. */
function masksOf(directives: readonly Directive[]): (directive: Directive) => number {
  const areas = new Map<number, number>();
  for (const directive of directives) {
    if (directive.type === 'parameterInsert')
      areas.set(directive.index, (areas.get(directive.index) ?? 0) | directive.compatibilityMask);
  }
  return (directive) => {
    if ('compatibilityMask' in directive) return directive.compatibilityMask;
    return directive.type === 'unknown' ? 0 : (areas.get(directive.index) ?? 0);
  };
}
