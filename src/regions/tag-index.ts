import { PAGE_SIZE } from '../memory/page';
import type { TaggedRange } from './map-tags';

/** Names by address. A map file may be anybody's: its ranges may overlap, and the first then counts. */
export class TagIndex {
  private readonly ranges: TaggedRange[] = [];

  /** @param tags by ascending address */
  constructor(tags: readonly TaggedRange[]) {
    let taken = 0;
    for (const { gpa, end, tag } of tags) {
      const start = Math.max(gpa, taken);
      if (start >= end) continue;
      this.ranges.push({ gpa: start, end, tag });
      taken = end;
    }
  }

  /** The name at an address, and the address up to which the answer is the same. */
  at(gpa: number): { tag?: string; until: number } {
    const range = this.ranges[this.firstEndingBehind(gpa)];
    if (range === undefined) return { until: Number.POSITIVE_INFINITY };
    // Pages are whole, and so are the steps: a range that ends inside a page is no reason to split the page.
    const whole = (address: number): number => Math.ceil(address / PAGE_SIZE) * PAGE_SIZE;
    return range.gpa <= gpa ? { tag: range.tag, until: whole(range.end) } : { until: whole(range.gpa) };
  }

  /** The names in `[gpa, end)` by ascending address, without repetition. */
  within(gpa: number, end: number): Set<string> {
    const tags = new Set<string>();
    for (let index = this.firstEndingBehind(gpa); index < this.ranges.length; index++) {
      const range = this.ranges[index];
      if (range === undefined || range.gpa >= end) break;
      tags.add(range.tag);
    }
    return tags;
  }

  /** Index of the first range that ends behind an address; the number of ranges when none does. */
  private firstEndingBehind(gpa: number): number {
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.ranges[middle]?.end ?? 0) <= gpa) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
