import { createHash, type Hash } from 'node:crypto';
import type { PageDataDirective } from '../igvm/model';
import type { DirectiveObserver } from '../igvm/stream';
import { PAGE_SIZE } from '../memory/page';
import type { GuestRegion } from '../regions/guest-regions';
import { readPages, storedEnd } from '../regions/guest-pages';

/** A part of a run that belongs to a region. Page numbers are relative to the run. */
interface Piece {
  contents: RegionContents;
  /** Index among the region's spans. */
  span: number;
  first: number;
  /** Exclusive. */
  end: number;
}

/** Bytes to read at once when a region has to be read again. */
const CHUNK = 2 ** 20;

/**
 * Computes the SHA-256 of each region of a guest while its pages stream by. The pages of a guest arrive in the order of the file,
 * and regions are hashed by address. A region whose pages have another order in the file (no known builder writes one) is read
 * again at the end.
 */
export class RegionDigests implements DirectiveObserver {
  /** The pieces of each run, and the index of the next one. The pages of a run arrive by ascending address. */
  private readonly runs = new Map<PageDataDirective, { pieces: Piece[]; next: number }>();
  private readonly contents = new Map<GuestRegion, RegionContents>();

  constructor(regions: readonly GuestRegion[]) {
    for (const region of regions) {
      if (region.spans.length === 0) continue;
      const contents = new RegionContents(region);
      this.contents.set(region, contents);
      for (const [span, { gpa, end, run }] of region.spans.entries()) {
        const piece = { contents, span, first: (gpa - run.gpa) / PAGE_SIZE, end: (end - run.gpa) / PAGE_SIZE };
        const present = this.runs.get(run);
        if (present === undefined) this.runs.set(run, { pieces: [piece], next: 0 });
        else present.pieces.push(piece);
      }
    }
  }

  pages(run: PageDataDirective, firstPage: number, pageCount: number, bytes: Uint8Array | undefined): void {
    const known = this.runs.get(run);
    if (known === undefined) return;
    const end = firstPage + pageCount;
    for (; known.next < known.pieces.length; known.next++) {
      const piece = known.pieces[known.next] as Piece;
      if (piece.first >= end) return;
      const from = Math.max(piece.first, firstPage);
      const to = Math.min(piece.end, end);
      if (from < to) {
        const part = bytes?.subarray((from - firstPage) * PAGE_SIZE, (to - firstPage) * PAGE_SIZE);
        piece.contents.add(piece.span, from - piece.first, to - from, part);
      }
      if (piece.end > end) return;
    }
  }

  /** Lower-case hexadecimal; undefined for a region without page data. Call it once for each region, after all pages. */
  digestOf(region: GuestRegion): string | undefined {
    return this.contents.get(region)?.digest();
  }
}

/** Distinguishes empty pages from stored zeros, which some platforms measure differently. */
class RegionContents {
  private readonly hash: Hash = createHash('sha256');
  private empty = 0;
  private isInOrder = true;
  /** The next span, and the next page in it. */
  private span = 0;
  private page = 0;

  constructor(private readonly region: GuestRegion) {}

  add(span: number, page: number, count: number, bytes: Uint8Array | undefined): void {
    const current = this.region.spans[this.span];
    if (current !== undefined && span === this.span + 1 && page === 0 && this.page === pagesOf(current)) {
      this.span = span;
      this.page = 0;
    }
    if (span !== this.span || page !== this.page) this.isInOrder = false;
    if (!this.isInOrder) return;
    this.page += count;
    if (bytes === undefined) this.empty += count;
    else this.addBytes(this.hash, bytes);
  }

  digest(): string {
    if (this.isInOrder) return this.end(this.hash);
    this.empty = 0;
    const hash = createHash('sha256');
    for (const { gpa, end, run } of this.region.spans) {
      const stored = Math.max(gpa, Math.min(end, storedEnd(run)));
      const chunk = new Uint8Array(Math.min(CHUNK, stored - gpa));
      for (let at = gpa; at < stored; at += CHUNK) {
        const part = chunk.subarray(0, Math.min(CHUNK, stored - at));
        readPages(run, at, part);
        this.addBytes(hash, part);
      }
      this.empty += (end - stored) / PAGE_SIZE;
    }
    return this.end(hash);
  }

  private addBytes(hash: Hash, bytes: Uint8Array): void {
    if (this.empty > 0) hash.update(`${this.empty} empty pages`);
    this.empty = 0;
    hash.update(bytes);
  }

  private end(hash: Hash): string {
    if (this.empty > 0) hash.update(`${this.empty} empty pages`);
    return hash.digest('hex');
  }
}

const pagesOf = ({ gpa, end }: { gpa: number; end: number }): number => (end - gpa) / PAGE_SIZE;
