import { hash } from 'node:crypto';
import { SHA384_SIZE } from '../igvm/hashes';
import { PAGE_SIZE } from '../memory/page';

/** Hashes many pages at once, on this thread or others. */
export interface PageHasher {
  /**
   * SHA-384 of each page, one digest after the other. `pages` are whole pages and may be reused when the result is
   * there; several calls may be pending.
   */
  hash(pages: Uint8Array): Uint8Array | Promise<Uint8Array>;
  close(): Promise<void>;
}

const ZERO_PAGE = new Uint8Array(PAGE_SIZE);

/** SHA-384 of a page of zeros, which also stands for an empty one. */
export const ZERO_PAGE_DIGEST: Uint8Array = hash('sha384', ZERO_PAGE, 'buffer');

/** Hashes on the calling thread. */
export const inlineHasher: PageHasher = {
  hash(pages) {
    const digests = Buffer.from(new ArrayBuffer((pages.length / PAGE_SIZE) * SHA384_SIZE));
    for (let at = 0, out = 0; at < pages.length; at += PAGE_SIZE, out += SHA384_SIZE) {
      const page = pages.subarray(at, at + PAGE_SIZE);
      const isZero = page[0] === 0 && Buffer.compare(page, ZERO_PAGE) === 0;
      if (isZero) digests.set(ZERO_PAGE_DIGEST, out);
      else digests.write(hash('sha384', page, 'binary'), out, SHA384_SIZE, 'latin1');
    }
    return digests;
  },
  async close() {},
};
