import type { PageDataDirective } from '../igvm/model';
import type { DirectiveObserver } from '../igvm/stream';
import { PAGE_SIZE } from '../memory/page';

/** The version of a Linux kernel, from a string in guest memory. */
export interface KernelVersion {
  /** The platforms whose guests contain it. */
  compatibilityMask: number;
  /** Address of the string, in bytes. */
  gpa: number;
  /** As `uname -r` prints it. Printable ASCII without spaces. */
  release: string;
  /** Who built it, when and with what. Printable ASCII on one line. */
  build: string;
}

/** No known kernel has a longer version string. Bytes. */
const MOST_BYTES = 300;

/** No guest has more kernels. */
const MOST_VERSIONS = 16;

const NOTHING = Buffer.alloc(0);

/**
 * An uncompressed kernel has this after the "Linux version " of its banner (Linux: init/version-timestamp.c). A bzImage has it twice
 * outside of its compressed part: in its setup code (arch/x86/boot/version.c), which most loaders leave out, and in the code that unpacks
 * the kernel (arch/x86/boot/compressed/kaslr.c), if the kernel has CONFIG_RANDOMIZE_BASE.
 */
const VERSION = /(?<!\S)(\d+\.\d+\S*) (\([^()]+@[^()]+\) (?:\(.*\) )?#.*)$/;

/** Part of each version string, and rare in anything else. */
const NEEDLE = ') #';

/** Finds the version strings of Linux kernels while the pages of the guests stream by. A kernel that is compressed as a whole has none. */
export class KernelVersions implements DirectiveObserver {
  readonly found: KernelVersion[] = [];
  /** The end of the previous pages. A string there may continue on the next ones. */
  private last: { run: PageDataDirective; nextPage: number; rest: Buffer } | undefined;

  pages(run: PageDataDirective, firstPage: number, pageCount: number, bytes: Uint8Array | undefined): void {
    if (this.found.length >= MOST_VERSIONS) return;
    const start = run.gpa + firstPage * PAGE_SIZE;
    const here = bytes === undefined ? NOTHING : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    let continues = false;
    if (this.last !== undefined) {
      const { run: lastRun, nextPage, rest } = this.last;
      continues = lastRun === run && nextPage === firstPage;
      const seam = continues ? Buffer.concat([rest, here.subarray(0, MOST_BYTES)]) : rest;
      this.search(seam, lastRun.gpa + nextPage * PAGE_SIZE - rest.length, lastRun, 1, rest.length);
      this.last = undefined;
    }
    const nextPage = firstPage + pageCount;
    const isLast = nextPage >= run.pageCount || here.length === 0;
    this.search(here, start, run, continues ? 1 : 0, isLast ? here.length : here.length - MOST_BYTES);
    if (!isLast) this.last = { run, nextPage, rest: Buffer.from(here.subarray(-MOST_BYTES)) };
  }

  /**
   * Finds the strings that begin between two offsets, both included. A string that begins elsewhere may be cut off here; another search
   * finds it whole.
   */
  private search(bytes: Buffer, gpa: number, run: PageDataDirective, from: number, to: number): void {
    let next = 0;
    for (let hit = bytes.indexOf(NEEDLE); hit !== -1; hit = bytes.indexOf(NEEDLE, next)) {
      const { start, text } = lineAround(bytes, hit);
      next = start + text.length;
      const match = VERSION.exec(text);
      if (match === null) continue;
      const { 1: release = '', 2: build = '', index } = match;
      const at = start + index;
      if (at < from || at > to) continue;
      if (this.found.length >= MOST_VERSIONS) return;
      this.found.push({ compatibilityMask: run.compatibilityMask, gpa: gpa + at, release, build: build.trimEnd() });
    }
  }
}

/** The printable ASCII around an offset. */
function lineAround(bytes: Buffer, offset: number): { start: number; text: string } {
  let start = offset;
  while (start > 0 && offset - start < MOST_BYTES && isPrintable(bytes[start - 1])) start--;
  let end = offset;
  while (end < bytes.length && end - offset < MOST_BYTES && isPrintable(bytes[end])) end++;
  return { start, text: bytes.toString('latin1', start, end) };
}

const isPrintable = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x20 && byte < 0x7f;
