import { type IgvmFile, type PageDataDirective } from '../igvm/model';
import type { ByteSource } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';

/** Some adjacent pages of a run, as the guest sees them. */
export interface PageSpan {
  /** Bytes, a multiple of PAGE_SIZE. */
  gpa: number;
  end: number;
  run: PageDataDirective;
}

/**
 * The pages of one platform by ascending address, without overlaps: if two runs contain a page, it belongs to the one
 * that begins first (some loaders refuse such a file).
 */
export function guestPages({ directives }: Pick<IgvmFile, 'directives'>, compatibilityMask: number): PageSpan[] {
  const spans: PageSpan[] = [];
  const runs = directives.filter(
    (directive): directive is PageDataDirective =>
      directive.type === 'pageData' && (directive.compatibilityMask & compatibilityMask) !== 0,
  );
  let taken = 0;
  for (const run of runs.sort((a, b) => a.gpa - b.gpa)) {
    const end = run.gpa + run.pageCount * PAGE_SIZE;
    const gpa = Math.max(run.gpa, taken);
    if (gpa >= end) continue;
    spans.push({ gpa, end, run });
    taken = end;
  }
  return spans;
}

/** End of the pages of a run that have data in the file; the pages after it are empty. GPA. */
export const storedEnd = ({ gpa, content }: PageDataDirective): number =>
  gpa + Math.ceil(content.size / PAGE_SIZE) * PAGE_SIZE;

/** Fills `target` with a run's bytes from `gpa` on, padded with zeros. */
export function readPages(run: PageDataDirective, gpa: number, target: Uint8Array): void {
  const offset = gpa - run.gpa;
  const available = Math.max(0, Math.min(target.length, run.content.size - offset));
  if (available > 0) run.content.read(offset, target.subarray(0, available));
  target.fill(0, available);
}

/**
 * A range of a guest's memory with the contents of its pages, and zeros where there are none. Pages are read on demand.
 * @param gpa in bytes
 * @param size in bytes
 */
export function guestMemory(
  file: Pick<IgvmFile, 'directives'>,
  compatibilityMask: number,
  gpa: number,
  size: number,
): ByteSource {
  const spans = guestPages(file, compatibilityMask).filter((span) => span.end > gpa && span.gpa < gpa + size);
  return {
    size,
    read(offset, target) {
      target.fill(0);
      const start = gpa + offset;
      const end = start + target.length;
      for (let at = firstEndingAfter(spans, start); at < spans.length && spans[at]!.gpa < end; at++) {
        const span = spans[at]!;
        const [from, to] = [Math.max(start, span.gpa), Math.min(end, span.end)];
        readPages(span.run, from, target.subarray(from - start, to - start));
      }
    },
  };
}

/**
 * Index of the first range that ends after an address; the number of ranges if none does.
 * @param ranges by ascending address, without overlaps
 */
export function firstEndingAfter(ranges: readonly { readonly end: number }[], address: number): number {
  let first = 0;
  for (let last = ranges.length; first < last; ) {
    const middle = (first + last) >>> 1;
    if (ranges[middle]!.end <= address) first = middle + 1;
    else last = middle;
  }
  return first;
}
