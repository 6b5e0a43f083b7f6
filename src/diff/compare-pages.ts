import { hash } from 'node:crypto';
import { unreachable } from '../errors/igvm-error';
import { describePageKind } from '../igvm/dump';
import type { Directive, PageDataDirective } from '../igvm/model';
import type { DirectiveObserver } from '../igvm/stream';
import { PAGE_SIZE, pagesFor } from '../memory/page';
import { type PageSpan, storedEnd } from '../regions/guest-pages';

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

const DIGEST_SIZE = 32;

const sha256 = (page: Uint8Array): Buffer => hash('sha256', page, 'buffer');

const ZERO_PAGE = sha256(new Uint8Array(PAGE_SIZE));

/**
 * The SHA-256 of each stored page of a file, computed during the pass over its pages. So two files can be compared page by page
 * although each is read only once, in its own order. Takes 32 bytes of memory for each page.
 */
export class PageDigests implements DirectiveObserver {
  /** The digests of all stored pages, in the order of the file. */
  readonly all: Buffer;
  /** Where the digests of a run begin in {@link all}, in bytes. */
  private readonly starts = new Map<PageDataDirective, number>();

  constructor(directives: readonly Directive[]) {
    let size = 0;
    for (const directive of directives) {
      if (directive.type !== 'pageData') continue;
      this.starts.set(directive, size);
      size += pagesFor(directive.content.size) * DIGEST_SIZE;
    }
    this.all = Buffer.alloc(size);
  }

  pages(run: PageDataDirective, firstPage: number, pageCount: number, bytes: Uint8Array | undefined): void {
    if (bytes === undefined) return;
    const start = this.startOf(run) + firstPage * DIGEST_SIZE;
    for (let page = 0; page < pageCount; page++) {
      this.all.set(sha256(bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE)), start + page * DIGEST_SIZE);
    }
  }

  /** The digest of a run's page at an address; a page that isn't stored is zeros. */
  of(run: PageDataDirective, gpa: number): Uint8Array {
    if (gpa >= storedEnd(run)) return ZERO_PAGE;
    const start = this.startOf(run) + ((gpa - run.gpa) / PAGE_SIZE) * DIGEST_SIZE;
    return this.all.subarray(start, start + DIGEST_SIZE);
  }

  private startOf(run: PageDataDirective): number {
    return this.starts.get(run) ?? unreachable('pages of another file');
  }
}

/** The pages of a guest by address, and the digests of the pages of its file. */
export interface GuestPages {
  spans: readonly PageSpan[];
  digests: PageDigests;
}

/** Compares the pages of two guests by address, after the passes over both files. */
export function comparePages(a: GuestPages, b: GuestPages): PageDifference[] {
  const differences = new DifferenceList();
  let indexA = 0;
  let indexB = 0;
  let gpa = 0;
  while (indexA < a.spans.length || indexB < b.spans.length) {
    const [spanA, spanB] = [a.spans[indexA], b.spans[indexB]];
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
      compareRuns({ ...a, run: spanA.run }, { ...b, run: spanB.run }, start, end, differences);
    } else {
      break;
    }
    gpa = end;
    if (spanA !== undefined && spanA.end <= gpa) indexA++;
    if (spanB !== undefined && spanB.end <= gpa) indexB++;
  }
  return differences.list;
}

interface ComparedRun {
  run: PageDataDirective;
  digests: PageDigests;
}

function compareRuns(a: ComparedRun, b: ComparedRun, start: number, end: number, differences: DifferenceList): void {
  if (a.run.flags !== b.run.flags || a.run.dataType !== b.run.dataType) {
    differences.add({ gpa: start, end, difference: 'type', a: kindText(a.run), b: kindText(b.run) });
  }
  const [storedA, storedB] = [storedEnd(a.run), storedEnd(b.run)];
  const lastStored = Math.min(end, Math.max(storedA, storedB));
  for (let gpa = start; gpa < lastStored; gpa += PAGE_SIZE) {
    const range = { gpa, end: gpa + PAGE_SIZE };
    const isSame = Buffer.compare(a.digests.of(a.run, gpa), b.digests.of(b.run, gpa)) === 0;
    if (!isSame) differences.add({ ...range, difference: 'contents' });
    else if (gpa < storedA !== gpa < storedB) differences.add({ ...range, difference: 'stored' });
  }
}

function kindText(run: PageDataDirective): string {
  const { dataType, flags } = describePageKind(run);
  return [dataType, ...flags].join(' ');
}

/** Collects differences. Adjacent ones of the same kind are merged. */
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
