import { describePageKind } from '../igvm/dump';
import type { PageDataDirective } from '../igvm/model';
import { PAGE_SIZE } from '../memory/page';
import { type PageSpan, readPages, storedEnd } from '../regions/guest-regions';

/** How the pages of a range differ: `stored` means zeros in one file and no file data in the other. */
export type PageDifferenceKind = 'onlyInA' | 'onlyInB' | 'type' | 'contents' | 'stored';

/** Adjacent pages that differ in one way. */
export interface PageDifference {
  gpa: number;
  /** Exclusive. */
  end: number;
  difference: PageDifferenceKind;
  /** Type and flags in both files, where these differ. */
  a?: string;
  b?: string;
}

/** Bytes compared at once. */
const CHUNK = 2 ** 20;

/** Compares the pages of two guests by address; reads only what is stored in one of them, and not what one has alone. */
export function comparePages(a: readonly PageSpan[], b: readonly PageSpan[]): PageDifference[] {
  const differences = new DifferenceList();
  let indexA = 0;
  let indexB = 0;
  let gpa = 0;
  while (indexA < a.length || indexB < b.length) {
    const [spanA, spanB] = [a[indexA], b[indexB]];
    const startA = Math.max(spanA?.gpa ?? Number.POSITIVE_INFINITY, gpa);
    const startB = Math.max(spanB?.gpa ?? Number.POSITIVE_INFINITY, gpa);
    const start = Math.min(startA, startB);
    let end: number;
    if (spanA !== undefined && startA < startB) {
      end = Math.min(spanA.end, startB);
      differences.add({ gpa: start, end, difference: 'onlyInA' });
    } else if (spanB !== undefined && startB < startA) {
      end = Math.min(spanB.end, startA);
      differences.add({ gpa: start, end, difference: 'onlyInB' });
    } else if (spanA !== undefined && spanB !== undefined) {
      end = Math.min(spanA.end, spanB.end);
      compareRuns(spanA.run, spanB.run, start, end, differences);
    } else {
      break;
    }
    gpa = end;
    if (spanA !== undefined && spanA.end <= gpa) indexA++;
    if (spanB !== undefined && spanB.end <= gpa) indexB++;
  }
  return differences.list;
}

function compareRuns(
  a: PageDataDirective,
  b: PageDataDirective,
  start: number,
  end: number,
  differences: DifferenceList,
): void {
  if (a.flags !== b.flags || a.dataType !== b.dataType) {
    differences.add({ gpa: start, end, difference: 'type', a: kindText(a), b: kindText(b) });
  }
  const lastStored = Math.min(end, Math.max(storedEnd(a), storedEnd(b)));
  const bytesA = new Uint8Array(Math.max(0, Math.min(CHUNK, lastStored - start)));
  const bytesB = new Uint8Array(bytesA.length);
  for (let gpa = start; gpa < lastStored; gpa += CHUNK) {
    const size = Math.min(CHUNK, lastStored - gpa);
    const [chunkA, chunkB] = [bytesA.subarray(0, size), bytesB.subarray(0, size)];
    readPages(a, gpa, chunkA);
    readPages(b, gpa, chunkB);
    const isAllStored = gpa + size <= storedEnd(a) && gpa + size <= storedEnd(b);
    if (isAllStored && Buffer.compare(chunkA, chunkB) === 0) continue;
    for (let page = 0; page < size; page += PAGE_SIZE) {
      const [pageA, pageB] = [chunkA.subarray(page, page + PAGE_SIZE), chunkB.subarray(page, page + PAGE_SIZE)];
      const range = { gpa: gpa + page, end: gpa + page + PAGE_SIZE };
      if (Buffer.compare(pageA, pageB) !== 0) differences.add({ ...range, difference: 'contents' });
      else if (range.gpa < storedEnd(a) !== range.gpa < storedEnd(b))
        differences.add({ ...range, difference: 'stored' });
    }
  }
}

function kindText(run: PageDataDirective): string {
  const { dataType, flags } = describePageKind(run);
  return [dataType, ...flags].join(' ');
}

/** Differences, adjacent ones of one kind as one. */
class DifferenceList {
  readonly list: PageDifference[] = [];

  add(next: PageDifference): void {
    const last = this.list.at(-1);
    const continues =
      last?.end === next.gpa && last.difference === next.difference && last.a === next.a && last.b === next.b;
    if (last !== undefined && continues) last.end = next.end;
    else this.list.push(next);
  }
}
