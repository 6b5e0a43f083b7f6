import { hex } from '../../errors/hex';
import { IgvmError } from '../../errors/igvm-error';
import type { ByteSource } from '../../memory/byte-source';
import { alignUp } from '../../memory/page';
import { importFileRegion } from './file-region';
import { GPA_LIMIT } from '../../memory/guest-limits';
import type { ImageImporter } from './importer';

/** Initrds placed behind a kernel start at a multiple of this. */
export const LARGE_PAGE_SIZE = 0x200000;

/** Where an initrd lies, in bytes; its last page is padded with zeros. */
export interface InitrdInfo {
  gpa: number;
  size: number;
}

/**
 * Imports an initrd as one run, from the first 2 MiB boundary behind the kernel on. An empty file imports nothing but still has an address (openvmm vm/loader/src/linux.rs:
 * import_initrd).
 * @param nextAddress first GPA behind the kernel and the memory it needs while it starts
 * @param kernel what the kernel is called in messages
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
