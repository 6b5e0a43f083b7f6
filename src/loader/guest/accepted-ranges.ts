import { hexRange } from '../../errors/printable';
import { IgvmError, unreachable } from '../../errors/igvm-error';
import { SHA384_SIZE } from '../../igvm/hashes';
import type { PageAcceptance } from '../../igvm/model';
import type { ByteSource } from '../../memory/byte-source';
import { GPA_LIMIT, PAGE_SIZE } from '../../memory/page';
import { deferredSource } from './file-region';
import type { SharedPageHashes } from './page-hashes';

/** ImportedRegionDescriptor: page number u64, page count u64, accepted u8, padding (loader_defs paravisor.rs). */
const DESCRIPTOR_SIZE = 24;

/** How many descriptors fit into the page behind the digest. */
const DESCRIPTOR_LIMIT = Math.floor((PAGE_SIZE - SHA384_SIZE) / DESCRIPTOR_SIZE);

/**
 * The page from which OpenHCL's boot shim learns which memory the loader has filled, and so accepted, already: the
 * SHA-384 of all shared pages, then the regions by ascending address.
 * @param regions everything imported, this page included
 * @throws IgvmError LAYOUT_OUT_OF_RANGE when the list does not fit into its page
 */
export function importedRegions(
  hashes: SharedPageHashes,
  regions: readonly Pick<AcceptedRange, 'pageBase' | 'pageCount' | 'acceptance'>[],
): ByteSource {
  if (regions.length > DESCRIPTOR_LIMIT) {
    throw new IgvmError(
      'LAYOUT_OUT_OF_RANGE',
      `the guest has ${regions.length} separate regions of memory, and OpenHCL can list ${DESCRIPTOR_LIMIT}`,
    );
  }
  return deferredSource(SHA384_SIZE + regions.length * DESCRIPTOR_SIZE, async () => {
    const list = new Uint8Array(regions.length * DESCRIPTOR_SIZE);
    const view = new DataView(list.buffer);
    const sorted = [...regions].sort((a, b) => a.pageBase - b.pageBase);
    for (const [index, { pageBase, pageCount, acceptance }] of sorted.entries()) {
      const at = index * DESCRIPTOR_SIZE;
      view.setBigUint64(at, BigInt(pageBase), true);
      view.setBigUint64(at + 8, BigInt(pageCount), true);
      view.setUint8(at + 16, acceptance === 'shared' ? 0 : 1);
    }
    return [await hashes.allPages(), list];
  });
}

/** Guest pages that something was imported into, or that a parameter area reserves. */
export interface AcceptedRange {
  /** First page number. */
  pageBase: number;
  pageCount: number;
  /** What the pages hold, as the map file names it. */
  tag: string;
  acceptance: PageAcceptance;
}

const end = (range: AcceptedRange): number => range.pageBase + range.pageCount;
const place = (range: AcceptedRange): string => hexRange(range.pageBase * PAGE_SIZE, end(range) * PAGE_SIZE);

/** Which pages of the guest are taken, and by what. No page is ever taken twice. */
export class AcceptedRanges {
  /** By ascending page number, disjoint. */
  private ranges: AcceptedRange[] = [];

  /** The ranges by ascending address. */
  list(): readonly AcceptedRange[] {
    return this.ranges;
  }

  /**
   * Takes pages.
   * @throws IgvmError LAYOUT_OVERLAP naming both ranges; LAYOUT_OUT_OF_RANGE for pages beyond 2^52
   */
  accept(range: AcceptedRange): void {
    const { pageBase, pageCount, tag } = range;
    if (!(Number.isInteger(pageBase) && pageBase >= 0 && Number.isInteger(pageCount) && pageCount > 0)) {
      unreachable(`import of ${pageCount} pages at page ${pageBase} (${tag})`);
    }
    if (end(range) * PAGE_SIZE > GPA_LIMIT) {
      throw new IgvmError(
        'LAYOUT_OUT_OF_RANGE',
        `${tag} at ${place(range)} lies beyond the 52 bits of a guest address`,
        { gpa: { start: pageBase * PAGE_SIZE, end: end(range) * PAGE_SIZE } },
      );
    }
    const next = this.firstEndingAfter(pageBase);
    const other = this.ranges[next];
    if (other !== undefined && other.pageBase < end(range)) {
      throw new IgvmError('LAYOUT_OVERLAP', `${tag} at ${place(range)} overlaps ${other.tag} at ${place(other)}`, {
        gpa: {
          start: Math.max(pageBase, other.pageBase) * PAGE_SIZE,
          end: Math.min(end(range), end(other)) * PAGE_SIZE,
        },
      });
    }
    this.ranges.splice(next, 0, range);
  }

  /** Joins neighbours with the same tag and acceptance: kernels come in several imports, maps show them as one. */
  mergeAdjacent(): void {
    const merged: AcceptedRange[] = [];
    for (const range of this.ranges) {
      const last = merged.at(-1);
      if (
        last !== undefined &&
        end(last) === range.pageBase &&
        last.tag === range.tag &&
        last.acceptance === range.acceptance
      ) {
        merged[merged.length - 1] = { ...last, pageCount: last.pageCount + range.pageCount };
      } else {
        merged.push(range);
      }
    }
    this.ranges = merged;
  }

  /** Page number behind the last range. */
  end(): number {
    const last = this.ranges.at(-1);
    return last === undefined ? 0 : end(last);
  }

  /** The free stretches among the first `pageLimit` pages of the guest, by ascending address. */
  gaps(pageLimit: number): { pageBase: number; pageCount: number }[] {
    const gaps: { pageBase: number; pageCount: number }[] = [];
    let free = 0;
    const close = (until: number): void => {
      if (until > free) gaps.push({ pageBase: free, pageCount: until - free });
    };
    for (const range of this.ranges) {
      if (range.pageBase >= pageLimit) break;
      close(range.pageBase);
      free = end(range);
    }
    close(pageLimit);
    return gaps;
  }

  /** Index of the first range that ends behind `page`. */
  private firstEndingAfter(page: number): number {
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = this.ranges[middle];
      if (range !== undefined && end(range) <= page) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
