/** Lists of directives as igvm-wrap and igvm-update 0.2.6 treat them (src/builder.rs), on runs instead of single pages. */
import { hex } from '../../errors/printable';
import { IgvmError } from '../../errors/igvm-error';
import { type Directive, PAGE_DATA_TYPE, type PageDataDirective } from '../../igvm/model';
import { type ByteSource, EMPTY_SOURCE, regionSource } from '../../memory/byte-source';
import { PAGE_SIZE, pagesFor } from '../../memory/page';

/** Compatibility mask of each platform in a file of ours. */
export const OVMF_MASK = { native: 1, snp: 2 } as const;

/** Pages with all bytes of a source, the last one padded; none for an empty source. */
export function dataPages(gpa: number, compatibilityMask: number, content: ByteSource, flags = 0): PageDataDirective[] {
  if (content.size === 0) return [];
  const dataType = PAGE_DATA_TYPE.NORMAL;
  return [{ type: 'pageData', gpa, pageCount: pagesFor(content.size), flags, dataType, compatibilityMask, content }];
}

/** The directives without the page data at exactly this address, for all platforms. */
export const withoutPageAt = (directives: readonly Directive[], gpa: number): Directive[] =>
  directives.flatMap((directive): Directive[] =>
    directive.type === 'pageData' ? without(directive, gpa) : [directive],
  );

function without(run: PageDataDirective, gpa: number): PageDataDirective[] {
  const page = (gpa - run.gpa) / PAGE_SIZE;
  if (!Number.isInteger(page) || page < 0 || page >= run.pageCount) return [run];
  return [part(run, 0, page), part(run, page + 1, run.pageCount)].filter(({ pageCount }) => pageCount > 0);
}

/**
 * The directives without the page data in a range of addresses, for runs that `isMeant` selects. Start and end are
 * page-aligned.
 */
export const withoutPages = (
  directives: readonly Directive[],
  { start, end }: { start: number; end: number },
  isMeant: (run: PageDataDirective) => boolean,
): Directive[] =>
  directives.flatMap((each): Directive[] => {
    if (each.type !== 'pageData' || each.gpa >= end || endOf(each) <= start || !isMeant(each)) return [each];
    const [before, after] = [start - each.gpa, end - each.gpa].map((bytes) => Math.floor(bytes / PAGE_SIZE));
    const parts = [part(each, 0, Math.max(0, before!)), part(each, Math.min(after!, each.pageCount), each.pageCount)];
    return parts.filter(({ pageCount }) => pageCount > 0);
  });

/** Pages `[from, to)` of a run. */
function part(run: PageDataDirective, from: number, to: number): PageDataDirective {
  const start = Math.min(from * PAGE_SIZE, run.content.size);
  const end = Math.min(to * PAGE_SIZE, run.content.size);
  const content = start === end ? EMPTY_SOURCE : regionSource(run.content, start, end - start);
  return { ...run, gpa: run.gpa + from * PAGE_SIZE, pageCount: to - from, content };
}

/**
 * Refuses pages that are added twice for one platform. As in igvm-wrap and igvm-update, only the first page of an
 * inserted parameter area counts, and only the platforms with the masks 1 and 2.
 * @throws IgvmError LAYOUT_OVERLAP
 */
export function checkNoPageTwice(directives: readonly Directive[]): void {
  for (const bit of Object.values(OVMF_MASK)) {
    const ranges = directives
      .flatMap((directive) => {
        if (directive.type !== 'pageData' && directive.type !== 'parameterInsert') return [];
        if ((directive.compatibilityMask & bit) === 0) return [];
        const pages = directive.type === 'pageData' ? directive.pageCount : 1;
        return [{ start: directive.gpa, end: directive.gpa + pages * PAGE_SIZE }];
      })
      .sort((a, b) => a.start - b.start);
    let taken = 0;
    for (const { start, end } of ranges) {
      if (start < taken) {
        throw new IgvmError('LAYOUT_OVERLAP', `the page at ${hex(start)} is filled twice`, {
          gpa: { start, end: Math.min(end, taken) },
        });
      }
      taken = Math.max(taken, end);
    }
  }
}

/** Sorts directives as igvm-wrap does: page data by mask and address, after everything else, which keeps its order. */
export function inWrapOrder(directives: readonly Directive[]): Directive[] {
  const others = directives.filter(({ type }) => type !== 'pageData');
  const runs = directives
    .filter((directive) => directive.type === 'pageData')
    .map((run, order) => ({ run, order }))
    .sort((a, b) => byMaskAndGpa(a.run, b.run));
  const sorted: PageDataDirective[] = [];
  for (let at = 0; at < runs.length; ) {
    const group = [runs[at]!];
    let end = endOf(group[0]!.run);
    const mask = group[0]!.run.compatibilityMask;
    for (at++; at < runs.length && runs[at]!.run.compatibilityMask === mask && runs[at]!.run.gpa < end; at++) {
      group.push(runs[at]!);
      end = Math.max(end, endOf(runs[at]!.run));
    }
    if (group.length === 1) sorted.push(group[0]!.run);
    else sorted.push(...pageByPage(group.sort((a, b) => a.order - b.order).map(({ run }) => run)));
  }
  return [...others, ...sorted];
}

/** Runs that overlap, which only platforms with other masks may have: their pages interleave. */
const pageByPage = (runs: readonly PageDataDirective[]): PageDataDirective[] =>
  runs
    .flatMap((run) => Array.from({ length: run.pageCount }, (_, page) => part(run, page, page + 1)))
    .sort(byMaskAndGpa);

const byMaskAndGpa = (a: PageDataDirective, b: PageDataDirective): number =>
  a.compatibilityMask - b.compatibilityMask || a.gpa - b.gpa;

const endOf = ({ gpa, pageCount }: PageDataDirective): number => gpa + pageCount * PAGE_SIZE;
