import { crc32 } from 'node:zlib';
import { hex } from '../../errors/printable';
import { IgvmError, unreachable } from '../../errors/igvm-error';
import type { PageDataDirective } from '../../igvm/model';
import type { DirectiveObserver } from '../../igvm/stream';
import type { ByteSource } from '../../memory/byte-source';
import { alignUp, GPA_LIMIT, PAGE_SIZE } from '../../memory/page';
import { importFileRegion } from './file-region';
import type { ImageImporter } from './importer';

/** CRC32 of an initrd, computed while its pages are streamed, so that it is not read twice. */
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

/** Initrds after a kernel start at a multiple of this. */
export const LARGE_PAGE_SIZE = 0x200000;

/** Where an initrd lies, in bytes; its last page is padded with zeros. */
export interface InitrdInfo {
  gpa: number;
  size: number;
}

/**
 * Imports an initrd as one run, at the first 2 MiB boundary after the kernel. For an empty file nothing is imported,
 * but it still has an address (openvmm vm/loader/src/linux.rs: import_initrd).
 * @param nextAddress first GPA after the kernel and the memory that it needs while it starts
 * @param kernel the kernel's name in messages
 * @throws IgvmError LAYOUT_OVERLAP, KERNEL_INVALID
 */
export function importInitrd(
  importer: ImageImporter,
  source: ByteSource | undefined,
  nextAddress: bigint,
  kernel: string,
): InitrdInfo | undefined {
  if (source === undefined) return undefined;
  if (nextAddress > BigInt(GPA_LIMIT)) {
    throw new IgvmError(
      'KERNEL_INVALID',
      `${kernel} needs memory up to ${hex(nextAddress)}, which leaves no place for the initrd`,
    );
  }
  const gpa = alignUp(Number(nextAddress), LARGE_PAGE_SIZE);
  importFileRegion(importer, {
    source,
    offset: 0,
    length: source.size,
    gpa,
    memoryLength: source.size,
    acceptance: 'exclusive',
    tag: 'linux-initrd',
  });
  return { gpa, size: source.size };
}
