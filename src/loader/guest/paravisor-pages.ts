import { IgvmError, unreachable } from '../../errors/igvm-error';
import { SHA384_SIZE } from '../../igvm/hashes';
import { PAGE_DATA_TYPE, PAGE_FLAG, type PageDataDirective } from '../../igvm/model';
import type { DirectiveObserver } from '../../igvm/stream';
import { type PageDigests, pageDigestsFor } from '../../measurement/page-hashing';
import type { ByteSource } from '../../memory/byte-source';
import { PAGE_SIZE } from '../../memory/page';
import type { AcceptedRange } from './layout';

/**
 * Bytes that are computed when they are first awaited, after all pages before them have been streamed.
 * @param size in bytes
 * @param parts returns the first bytes; zeros follow up to `size`
 */
export function deferredSource(size: number, parts: () => Uint8Array[] | Promise<Uint8Array[]>): ByteSource {
  let bytes: Uint8Array | undefined;
  return {
    size,
    async ready() {
      if (bytes !== undefined) return;
      const filled = new Uint8Array(size);
      let at = 0;
      for (const part of await parts()) {
        filled.set(part, at);
        at += part.length;
      }
      bytes = filled;
    },
    read(offset, target) {
      if (bytes === undefined) unreachable('deferred bytes were read before they were ready');
      target.set(bytes.subarray(offset, offset + target.length));
    },
  };
}

/** Pages of the region (loader_defs paravisor.rs: PARAVISOR_MEASURED_VTL2_CONFIG_PAGE_HASHES_SIZE_PAGES). */
export const EXPECTED_PAGE_HASHES_PAGES = 256;

/** ExpectedPageHashesHeader: magic, version, count, reserved; a u32 each. */
const HEADER_SIZE = 16;
const MAGIC = 0x53485045; // "EPHS"
const VERSION = 1;

/** How many pages the region has hashes for. */
export const EXPECTED_PAGE_HASHES_LIMIT = Math.floor(
  (EXPECTED_PAGE_HASHES_PAGES * PAGE_SIZE - HEADER_SIZE) / SHA384_SIZE,
);

/**
 * The region with which OpenHCL's boot shim checks the shared pages: a header, the SHA-384 of each shared page by
 * ascending GPA, and zeros. Known once all shared pages have been seen.
 */
export function expectedPageHashes(hashes: SharedPageHashes): ByteSource {
  return deferredSource(EXPECTED_PAGE_HASHES_PAGES * PAGE_SIZE, () => {
    const header = new Uint8Array(HEADER_SIZE);
    const view = new DataView(header.buffer);
    view.setUint32(0, MAGIC, true);
    view.setUint32(4, VERSION, true);
    view.setUint32(8, hashes.count, true);
    return [header, hashes.eachPage()];
  });
}

/** ImportedRegionDescriptor: page number u64, page count u64, accepted u8, padding (loader_defs paravisor.rs). */
const DESCRIPTOR_SIZE = 24;

/** How many descriptors fit into the page after the digest. */
const DESCRIPTOR_LIMIT = Math.floor((PAGE_SIZE - SHA384_SIZE) / DESCRIPTOR_SIZE);

/**
 * The page that tells OpenHCL's boot shim which memory the loader has filled and thereby accepted: the SHA-384 of all
 * shared pages, then the regions by ascending address.
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

/** Whether OpenHCL's boot shim has to check the run's pages: the host could change them after they were loaded. */
export const isSharedData = (run: Pick<PageDataDirective, 'dataType' | 'flags'>): boolean =>
  run.dataType === PAGE_DATA_TYPE.NORMAL && (run.flags & PAGE_FLAG.SHARED) !== 0;

/** Pages of zeros that are hashed at once in place of empty pages. They are in memory that threads share. */
const ZERO_PAGES = 64;
const ZEROS = new Uint8Array(new SharedArrayBuffer(ZERO_PAGES * PAGE_SIZE));

/**
 * SHA-384 of every shared page of a guest and of all of them together, computed while the pages are streamed in
 * ascending GPA order (file_loader.rs: generate_cryptographic_hashes_of_shared_pages).
 */
export class SharedPageHashes implements DirectiveObserver {
  readonly pagesOverlap = true;
  private readonly digests: PageDigests;
  private readonly each: Uint8Array;
  private seen = 0;
  private whole: Promise<Uint8Array> | undefined;

  /**
   * @param count number of shared pages that will be seen
   * @throws IgvmError LAYOUT_OUT_OF_RANGE when there are more than `limit`
   */
  constructor(
    readonly count: number,
    limit: number,
  ) {
    if (count > limit) {
      throw new IgvmError(
        'LAYOUT_OUT_OF_RANGE',
        `OpenHCL's kernel, initrd and boot shim take ${count} pages of shared memory, and it can check ${limit} (about ${Math.floor((limit * PAGE_SIZE) / 2 ** 20)} MiB)`,
      );
    }
    this.each = new Uint8Array(count * SHA384_SIZE);
    this.digests = pageDigestsFor(count);
  }

  pages(
    run: PageDataDirective,
    _firstPage: number,
    pageCount: number,
    bytes: Uint8Array | undefined,
  ): void | Promise<void> {
    if (!isSharedData(run)) return;
    if (bytes !== undefined) return this.add(bytes);
    const pending: (void | Promise<void>)[] = [];
    for (let left = pageCount; left > 0; left -= ZERO_PAGES) {
      pending.push(this.add(ZEROS.subarray(0, Math.min(left, ZERO_PAGES) * PAGE_SIZE)));
    }
    return Promise.all(pending).then(() => undefined);
  }

  /** One digest after the other, when all pages have been seen. */
  eachPage(): Uint8Array {
    this.checkComplete();
    return this.each;
  }

  /** The digest of all shared pages together, when all have been seen. */
  allPages(): Promise<Uint8Array> {
    this.checkComplete();
    this.whole ??= this.digests.end();
    return this.whole;
  }

  async close(): Promise<void> {
    await this.digests.close();
  }

  private add(pages: Uint8Array): void | Promise<void> {
    const at = this.seen * SHA384_SIZE;
    this.seen += pages.length / PAGE_SIZE;
    if (this.seen > this.count) unreachable(`saw ${this.seen} of ${this.count} shared pages`);
    const digests = this.digests.add(pages);
    if (digests instanceof Uint8Array) this.each.set(digests, at);
    else return digests.then((later) => this.each.set(later, at));
  }

  private checkComplete(): void {
    if (this.seen !== this.count) unreachable(`hashed ${this.seen} of ${this.count} shared pages`);
  }
}
