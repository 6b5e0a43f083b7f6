import { PAGE_SIZE } from '../memory/page';
import type { Directive, IgvmFile, PageDataDirective } from './model';

/** Addresses of a guest that a file fills more than once. Bytes, end exclusive. */
export interface PageOverlap {
  gpa: number;
  end: number;
}

/** Memory that one directive fills, or that several VP contexts of one address fill. */
interface Claim extends PageOverlap {
  /** The page data; none where a VMM fills in parameters or registers. */
  run?: PageDataDirective;
}

/**
 * Where the memory of one platform's guest is filled twice: page data, areas that the VMM fills in, and VMSAs that lie
 * in the guest's memory. The format doesn't forbid this, but loaders differ: launches under SEV-SNP and TDX fail,
 * others take the last page.
 * @returns ranges by ascending address, adjacent ones merged
 */
export const pageOverlaps = (file: Pick<IgvmFile, 'directives'>, compatibilityMask: number): PageOverlap[] =>
  overlapsOf(claims(file.directives, compatibilityMask));

/** The page data that other memory of the guest overlaps, whole runs in the order of the file. */
export function overlappingRuns(file: Pick<IgvmFile, 'directives'>, compatibilityMask: number): PageDataDirective[] {
  const all = claims(file.directives, compatibilityMask);
  const overlaps = overlapsOf(all);
  if (overlaps.length === 0) return [];
  return all.flatMap(({ gpa, end, run }) => (run !== undefined && touches(overlaps, gpa, end) ? [run] : []));
}

/** In the order of the file. */
function claims(directives: readonly Directive[], mask: number): Claim[] {
  const sizes = new Map<number, number>();
  const contexts = new Set<number>();
  const found: Claim[] = [];
  for (const directive of directives) {
    if (directive.type === 'parameterArea') sizes.set(directive.index, directive.size);
    if (!('compatibilityMask' in directive) || (directive.compatibilityMask & mask) === 0) continue;
    if (directive.type === 'pageData') {
      const { gpa, pageCount } = directive;
      found.push({ gpa, end: gpa + pageCount * PAGE_SIZE, run: directive });
    } else if (directive.type === 'parameterInsert') {
      found.push({ gpa: directive.gpa, end: directive.gpa + (sizes.get(directive.index) ?? PAGE_SIZE) });
    } else if (directive.type === 'vpContext' && directive.format === 'snp' && !contexts.has(directive.gpa)) {
      contexts.add(directive.gpa);
      found.push({ gpa: directive.gpa, end: directive.gpa + PAGE_SIZE });
    }
  }
  return found;
}

function overlapsOf(all: readonly Claim[]): PageOverlap[] {
  const overlaps: PageOverlap[] = [];
  let taken = 0;
  for (const { gpa, end } of [...all].sort((a, b) => a.gpa - b.gpa)) {
    if (gpa < taken && gpa < end) {
      const last = overlaps.at(-1);
      const until = Math.min(end, taken);
      if (last !== undefined && gpa <= last.end) last.end = Math.max(last.end, until);
      else overlaps.push({ gpa, end: until });
    }
    taken = Math.max(taken, end);
  }
  return overlaps;
}

/** Whether `[gpa, end)` overlaps one of the ranges, which are in ascending order. */
function touches(overlaps: readonly PageOverlap[], gpa: number, end: number): boolean {
  let low = 0;
  let high = overlaps.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((overlaps[middle]?.end ?? 0) <= gpa) low = middle + 1;
    else high = middle;
  }
  return (overlaps[low]?.gpa ?? Number.POSITIVE_INFINITY) < end;
}
