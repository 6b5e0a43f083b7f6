import { hash } from 'node:crypto';
import { SHA256_SIZE, SHA384_SIZE } from '../igvm/hashes';
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

/** SHA-384 of each of some whole pages, one digest after the other, in a buffer of its own. */
export function hashPages(pages: Uint8Array): Buffer<ArrayBuffer> {
  const digests = Buffer.from(new ArrayBuffer((pages.length / PAGE_SIZE) * SHA384_SIZE));
  for (let at = 0, out = 0; at < pages.length; at += PAGE_SIZE, out += SHA384_SIZE) {
    const page = pages.subarray(at, at + PAGE_SIZE);
    const isZero = page[0] === 0 && Buffer.compare(page, ZERO_PAGE) === 0;
    if (isZero) digests.set(ZERO_PAGE_DIGEST, out);
    else digests.write(hash('sha384', page, 'binary'), out, SHA384_SIZE, 'latin1');
  }
  return digests;
}

/** Hashes on the calling thread. */
export const inlineHasher: PageHasher = {
  hash: hashPages,
  async close() {},
};

/** Bytes of a head in a chain. Its last eight are the number of a page. */
export const CHAIN_HEAD_SIZE = 32;

const PAGE_NUMBER_OFFSET = CHAIN_HEAD_SIZE - 8;

/** A chain of SHA-256: each link covers the one before, a head and a page. Links can't be made side by side. */
export class HashChain {
  private readonly link = Buffer.from(new ArrayBuffer(SHA256_SIZE + CHAIN_HEAD_SIZE + PAGE_SIZE));
  private readonly head = new DataView(this.link.buffer, SHA256_SIZE, CHAIN_HEAD_SIZE);

  /** Adds links for `count` adjacent pages, or pages of zeros. The head has the number of the first page. */
  extend(head: Uint8Array, count: number, pages: Uint8Array | undefined): void {
    const contents = SHA256_SIZE + CHAIN_HEAD_SIZE;
    this.link.set(head, SHA256_SIZE);
    const first = this.head.getBigUint64(PAGE_NUMBER_OFFSET, true);
    if (pages === undefined) this.link.fill(0, contents);
    for (let page = 0; page < count; page++) {
      this.head.setBigUint64(PAGE_NUMBER_OFFSET, first + BigInt(page), true);
      if (pages !== undefined) this.link.set(pages.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE), contents);
      this.link.write(hash('sha256', this.link, 'binary'), 0, SHA256_SIZE, 'latin1');
    }
  }

  /** The last link; zeros before the first. */
  last(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.link.subarray(0, SHA256_SIZE));
  }
}
