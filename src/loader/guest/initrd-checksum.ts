import { crc32 } from 'node:zlib';
import { unreachable } from '../../errors/igvm-error';
import type { PageDataDirective } from '../../igvm/model';
import type { DirectiveObserver } from '../../igvm/stream';
import { PAGE_SIZE } from '../../memory/page';

/** CRC32 of an initrd, gathered while its pages stream by, so that it need not be read twice. */
export class InitrdChecksum implements DirectiveObserver {
  private seen = 0;
  private checksum = 0;

  /**
   * @param gpa where the initrd lies in guest memory, page-aligned
   * @param size of the initrd in bytes, without the padding of its last page
   */
  constructor(
    private readonly gpa: number,
    private readonly size: number,
  ) {}

  pages(run: PageDataDirective, firstPage: number, _pageCount: number, bytes: Uint8Array | undefined): void {
    const offset = run.gpa + firstPage * PAGE_SIZE - this.gpa;
    if (offset < 0 || offset >= this.size) return;
    if (bytes === undefined || offset !== this.seen) unreachable('the pages of an initrd out of order');
    const part = bytes.subarray(0, Math.min(bytes.length, this.size - offset));
    this.checksum = crc32(part, this.checksum);
    this.seen += part.length;
  }

  /** The checksum, once all pages have been seen. */
  value(): number {
    if (this.seen !== this.size) unreachable(`the checksum has seen ${this.seen} of the initrd's ${this.size} bytes`);
    return this.checksum;
  }
}
