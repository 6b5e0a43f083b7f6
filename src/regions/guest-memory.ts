import type { IgvmFile } from '../igvm/model';
import type { ByteSource } from '../memory/byte-source';
import { guestPages, type PageSpan, readPages } from './guest-regions';

/**
 * A range of a guest's memory as its pages fill it; zeros where there are none. Read page by page when it is asked for.
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
      for (let at = firstBehind(spans, start); at < spans.length && spans[at]!.gpa < end; at++) {
        const span = spans[at]!;
        const [from, to] = [Math.max(start, span.gpa), Math.min(end, span.end)];
        readPages(span.run, from, target.subarray(from - start, to - start));
      }
    },
  };
}

/** Index of the first span that ends behind an address. */
function firstBehind(spans: readonly PageSpan[], address: number): number {
  let first = 0;
  for (let last = spans.length; first < last; ) {
    const middle = (first + last) >>> 1;
    if (spans[middle]!.end <= address) first = middle + 1;
    else last = middle;
  }
  return first;
}
