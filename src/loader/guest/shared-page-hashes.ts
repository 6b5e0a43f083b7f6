import { createHash, hash } from 'node:crypto';
import { IgvmError, unreachable } from '../../errors/igvm-error';
import { SHA384_SIZE } from '../../igvm/hashes';
import type { PageDataDirective } from '../../igvm/model';
import { PAGE_DATA_TYPE, PAGE_FLAG } from '../../igvm/page-data';
import type { DirectiveObserver } from '../../igvm/stream';
import { PAGE_SIZE } from '../../memory/page';

/** Whether OpenHCL's boot shim has to check the run's pages: the host could change them after they were loaded. */
export const isSharedData = (run: Pick<PageDataDirective, 'dataType' | 'flags'>): boolean =>
  run.dataType === PAGE_DATA_TYPE.NORMAL && (run.flags & PAGE_FLAG.SHARED) !== 0;

/**
 * SHA-384 of every shared page of a guest and of all of them together, gathered while the pages stream by in ascending
 * GPA order (file_loader.rs: generate_cryptographic_hashes_of_shared_pages).
 */
export class SharedPageHashes implements DirectiveObserver {
  private readonly all = createHash('sha384');
  private readonly each: Uint8Array;
  private seen = 0;
  private digest: Uint8Array | undefined;

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
  }

  pages(run: PageDataDirective, _firstPage: number, pageCount: number, bytes: Uint8Array | undefined): void {
    if (!isSharedData(run)) return;
    const zero = bytes === undefined ? new Uint8Array(PAGE_SIZE) : undefined;
    if (bytes !== undefined) this.all.update(bytes);
    for (let index = 0; index < pageCount; index++) {
      const page = zero ?? bytes?.subarray(index * PAGE_SIZE, (index + 1) * PAGE_SIZE) ?? unreachable('no page');
      if (zero !== undefined) this.all.update(zero);
      this.each.set(hash('sha384', page, 'buffer'), this.seen * SHA384_SIZE);
      this.seen += 1;
    }
  }

  /** One digest after the other. @throws when not all pages have been seen: a bug in the order of the pages */
  eachPage(): Uint8Array {
    this.checkComplete();
    return this.each;
  }

  /** The digest of all shared pages together. */
  allPages(): Uint8Array {
    this.checkComplete();
    this.digest ??= this.all.digest();
    return this.digest;
  }

  private checkComplete(): void {
    if (this.seen !== this.count) unreachable(`hashed ${this.seen} of ${this.count} shared pages`);
  }
}
