import type { IgvmFile, PageDataDirective } from '../igvm/model';
import { PAGE_SIZE } from '../memory/page';

/** Some adjacent pages of a run, as the guest sees them. */
export interface PageSpan {
  /** Bytes, a multiple of PAGE_SIZE. */
  gpa: number;
  end: number;
  run: PageDataDirective;
}

/**
 * The pages of one platform by ascending address, without overlaps: where two runs claim a page, the one that begins first has
 * it (a loader would refuse such a file).
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

/** Bytes of a run that lie in the file, rounded up to pages; what lies behind is empty. */
export const storedEnd = ({ gpa, content }: PageDataDirective): number =>
  gpa + Math.ceil(content.size / PAGE_SIZE) * PAGE_SIZE;

/** Fills `target` with a run's bytes from `gpa` on, padded with zeros. */
export function readPages(run: PageDataDirective, gpa: number, target: Uint8Array): void {
  const offset = gpa - run.gpa;
  const available = Math.max(0, Math.min(target.length, run.content.size - offset));
  if (available > 0) run.content.read(offset, target.subarray(0, available));
  target.fill(0, available);
}
