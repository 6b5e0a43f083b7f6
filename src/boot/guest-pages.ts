import { IgvmError } from '../errors/igvm-error';
import { type ByteSource, regionSource } from '../memory/byte-source';
import { PAGE_SIZE } from '../memory/page';

/** Adjacent pages of the guest. The rest beyond `content` is zero. */
export interface PageRange {
  /** Bytes, a multiple of PAGE_SIZE. */
  gpa: number;
  /** Bytes, a multiple of PAGE_SIZE, at least one page. */
  size: number;
  content: ByteSource;
}

/** The memory of a guest before the first instruction, by GPA. Parts of it can be replaced. */
export class GuestPages {
  /** Ascending. */
  private readonly ranges: readonly PageRange[];
  private readonly patches = new Map<PageRange, Patch[]>();

  /** @throws IgvmError BOOT_LAYOUT when two ranges have a page in common */
  constructor(ranges: readonly PageRange[]) {
    this.ranges = [...ranges].sort((a, b) => a.gpa - b.gpa);
    let end = 0;
    for (const { gpa, size } of this.ranges) {
      if (gpa < end) {
        throw new IgvmError('BOOT_LAYOUT', 'the image has several contents for the same pages', {
          gpa: { start: gpa, end: Math.min(end, gpa + size) },
        });
      }
      end = gpa + size;
    }
  }

  /** End of the highest page. */
  get end(): number {
    const last = this.ranges.at(-1);
    return last === undefined ? 0 : last.gpa + last.size;
  }

  /** The image's pages in [start, end), ascending, with everything written so far. */
  within(start: number, end: number): PageRange[] {
    return this.touching(start, end).map((range) => {
      const from = Math.max(start, range.gpa);
      const to = Math.min(end, range.gpa + range.size);
      const content = patchedSource(range.content, this.patches.get(range) ?? []);
      const skipped = Math.min(from - range.gpa, content.size);
      const used = Math.min(to - from, content.size - skipped);
      return { gpa: from, size: to - from, content: regionSource(content, skipped, used) };
    });
  }

  /** Whether the image's pages cover [gpa, gpa + size). */
  has(gpa: number, size: number): boolean {
    return this.within(gpa, gpa + size).reduce((sum, range) => sum + range.size, 0) === size;
  }

  /** `size` bytes from `gpa` on; undefined if the image's pages don't cover them. */
  read(gpa: number, size: number): Uint8Array | undefined {
    if (!this.has(gpa, size)) return undefined;
    const bytes = new Uint8Array(size);
    for (const range of this.within(gpa, gpa + size)) {
      const at = range.gpa - gpa;
      range.content.read(0, bytes.subarray(at, at + range.content.size));
    }
    return bytes;
  }

  /** The page that starts at `gpa`. */
  page(gpa: number): Uint8Array | undefined {
    return this.read(gpa, PAGE_SIZE);
  }

  /** Replaces bytes; the image must have their pages, see {@link has}. */
  write(gpa: number, bytes: Uint8Array): void {
    for (const range of this.touching(gpa, gpa + bytes.length)) {
      const from = Math.max(gpa, range.gpa);
      const to = Math.min(gpa + bytes.length, range.gpa + range.size);
      const patches = this.patches.get(range) ?? [];
      patches.push({ offset: from - range.gpa, bytes: bytes.subarray(from - gpa, to - gpa) });
      this.patches.set(range, patches);
    }
  }

  /** The ranges that have bytes of [start, end). */
  private touching(start: number, end: number): PageRange[] {
    let first = 0;
    for (let last = this.ranges.length; first < last; ) {
      const middle = (first + last) >>> 1;
      const { gpa, size } = this.ranges[middle] as PageRange;
      if (gpa + size <= start) first = middle + 1;
      else last = middle;
    }
    const touching: PageRange[] = [];
    for (let index = first; index < this.ranges.length; index++) {
      const range = this.ranges[index] as PageRange;
      if (range.gpa >= end) break;
      touching.push(range);
    }
    return touching;
  }
}

/** Replacement bytes at `offset`. */
export interface Patch {
  offset: number;
  bytes: Uint8Array;
}

/**
 * `source` with some bytes replaced. Later patches override earlier ones. A patch beyond the source's end makes it longer, with zeros
 * in between. There may be as many patches as an image has parameters: hundreds of thousands.
 */
export function patchedSource(source: ByteSource, patches: readonly Patch[]): ByteSource {
  if (patches.length === 0) return source;
  let size = source.size;
  for (const { offset, bytes } of patches) size = Math.max(size, offset + bytes.length);
  return {
    size,
    read(offset, target) {
      const available = Math.min(target.length, Math.max(0, source.size - offset));
      if (available > 0) source.read(offset, target.subarray(0, available));
      target.fill(0, available);
      for (const patch of patches) {
        const start = Math.max(offset, patch.offset);
        const end = Math.min(offset + target.length, patch.offset + patch.bytes.length);
        if (start < end) target.set(patch.bytes.subarray(start - patch.offset, end - patch.offset), start - offset);
      }
    },
    ready: source.ready?.bind(source),
    late: source.late,
  };
}
