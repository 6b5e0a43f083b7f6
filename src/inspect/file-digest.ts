import { createHash } from 'node:crypto';
import { hashRange } from '../files/hashes';
import type { Directive, PageDataDirective } from '../igvm/model';
import type { DirectiveObserver } from '../igvm/stream';
import { type ByteSource, offsetIn } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';

/** Bytes between two pages that are read, such as VP contexts. Beyond that, the data in between is expected to come with its pages. */
const LARGEST_GAP = 64 * 1024;

/**
 * The SHA-256 of a file during a pass over its pages: it takes the data that pages bring in the order of the file, and reads what no
 * page brings. Data that comes out of order is read again at the end.
 */
export class FileDigest implements DirectiveObserver {
  private readonly hash = createHash('sha256');
  /** Bytes hashed so far, from the start of the file. */
  private done = 0;

  /** @throws what reading the source throws: what precedes the first page is read at once */
  constructor(
    private readonly source: ByteSource,
    directives: readonly Directive[],
  ) {
    const first = directives.reduce((least, directive) => {
      const start = directive.type === 'pageData' ? this.offsetOf(directive, 0) : undefined;
      return start === undefined ? least : Math.min(least, start);
    }, source.size);
    this.readTo(first);
  }

  pages(run: PageDataDirective, firstPage: number, _pageCount: number, bytes: Uint8Array | undefined): void {
    const start = this.offsetOf(run, firstPage);
    if (bytes === undefined || start === undefined || start > this.done + LARGEST_GAP) return;
    // The last page may be padded.
    const end = start + Math.min(bytes.length, run.content.size - firstPage * PAGE_SIZE);
    if (end <= this.done) return;
    if (start > this.done) this.readTo(start);
    this.hash.update(bytes.subarray(this.done - start, end - start));
    this.done = end;
  }

  /** In lower-case hexadecimal. Call it once, after the pass. @throws what reading the source throws */
  end(): string {
    this.readTo(this.source.size);
    return this.hash.digest('hex');
  }

  private offsetOf({ content }: PageDataDirective, page: number): number | undefined {
    const start = content.size === 0 ? undefined : offsetIn(this.source, content);
    return start === undefined ? undefined : start + page * PAGE_SIZE;
  }

  private readTo(end: number): void {
    hashRange(this.hash, this.source, this.done, end);
    this.done = end;
  }
}
