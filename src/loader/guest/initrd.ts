import { IgvmError } from '../../errors/igvm-error';
import type { ByteSource } from '../../memory/byte-source';
import { PAGE_SIZE, alignUp } from '../../memory/page';
import { GPA_LIMIT, importFileRegion } from './file-region';
import type { ImageImporter } from './importer';

/** Initrds placed behind a kernel start at a multiple of this. */
export const LARGE_PAGE_SIZE = 0x200000;

/** An initrd and where it goes. */
export interface InitrdPlacement {
  source: ByteSource;
  /** GPA in bytes, a multiple of 4096; absent: the first 2 MiB boundary behind the kernel. */
  address?: number;
}

/** Where an initrd lies, in bytes; its last page is padded with zeros. */
export interface InitrdInfo {
  gpa: number;
  size: number;
}

/**
 * Imports an initrd as one run. An empty file imports nothing but still has an address (openvmm vm/loader/src/linux.rs:
 * import_initrd).
 * @param nextAddress first GPA behind the kernel and the memory it needs while it starts
 * @throws IgvmError LAYOUT_OVERLAP, KERNEL_INVALID
 */
export function importInitrd(
  importer: ImageImporter,
  placement: InitrdPlacement | undefined,
  nextAddress: bigint,
): InitrdInfo | undefined {
  if (placement === undefined) return undefined;
  const { source } = placement;
  if (placement.address === undefined && nextAddress > BigInt(GPA_LIMIT)) {
    throw new IgvmError(
      'KERNEL_INVALID',
      `the kernel needs memory up to 0x${nextAddress.toString(16)}, which leaves no place for the initrd`,
    );
  }
  const gpa = placement.address ?? alignUp(Number(nextAddress), LARGE_PAGE_SIZE);
  if (gpa % PAGE_SIZE !== 0) {
    throw new IgvmError('LAYOUT_OVERLAP', 'the initrd does not start at a multiple of 4096', {
      gpa: { start: gpa, end: gpa + source.size },
    });
  }
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
