import type { PageDataDirective } from '../igvm/model';
import type { DirectiveObserver } from '../igvm/stream';
import { PAGE_SIZE } from '../memory/page';

/** A kernel's version string, as it stands in memory. */
export interface KernelVersion {
  /** Platforms whose guests have it. */
  compatibilityMask: number;
  /** Where it stands, bytes. */
  gpa: number;
  /** Printable ASCII on one line. */
  text: string;
}

/** What Linux's banner begins with (linux: init/version-timestamp.c). */
const BEGIN = 'Linux version ';

/** Longer than the banner of any known kernel, bytes. */
const MOST_BYTES = 300;

const NOTHING = Buffer.alloc(0);

/** More than a guest has kernels. */
const MOST_VERSIONS = 16;

/**
 * Finds the version strings of uncompressed Linux kernels while the guests' pages pass by. A compressed kernel shows none.
 */
export class KernelVersions implements DirectiveObserver {
  readonly found: KernelVersion[] = [];
  /** The end of the pages before: a string there may continue in the next ones. */
  private last: { run: PageDataDirective; nextPage: number; rest: Buffer } | undefined;

  pages(run: PageDataDirective, firstPage: number, pageCount: number, bytes: Uint8Array | undefined): void {
    if (this.found.length >= MOST_VERSIONS) return;
    const start = run.gpa + firstPage * PAGE_SIZE;
    const here = bytes === undefined ? NOTHING : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    if (this.last !== undefined) {
      const { run: lastRun, nextPage, rest } = this.last;
      const continues = lastRun === run && nextPage === firstPage;
      const seam = continues ? Buffer.concat([rest, here.subarray(0, MOST_BYTES)]) : rest;
      this.search(seam, lastRun.gpa + nextPage * PAGE_SIZE - rest.length, lastRun, rest.length);
      this.last = undefined;
    }
    const nextPage = firstPage + pageCount;
    const isLast = nextPage >= run.pageCount || here.length === 0;
    this.search(here, start, run, isLast ? here.length : here.length - MOST_BYTES);
    if (!isLast) this.last = { run, nextPage, rest: Buffer.from(here.subarray(-MOST_BYTES)) };
  }

  /** @param until strings that begin there or later are left to the next search */
  private search(bytes: Buffer, gpa: number, run: PageDataDirective, until: number): void {
    for (let at = bytes.indexOf(BEGIN); at !== -1 && at < until; at = bytes.indexOf(BEGIN, at + 1)) {
      const [text] = /^Linux version \d[\x20-\x7e]*/.exec(bytes.toString('latin1', at, at + MOST_BYTES)) ?? [];
      if (text === undefined || this.found.length >= MOST_VERSIONS) continue;
      this.found.push({ compatibilityMask: run.compatibilityMask, gpa: gpa + at, text: text.trimEnd() });
    }
  }
}
