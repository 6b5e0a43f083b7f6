import { hex } from '../../errors/printable';
import { IgvmError } from '../../errors/igvm-error';
import type { ByteSource } from '../../memory/byte-source';
import { alignDown, GPA_LIMIT, PAGE_SIZE, pagesFor } from '../../memory/page';
import type { PageAcceptance } from '../../igvm/model';
import { readElfHeader } from '../formats/elf-header';
import { checkZeroFill, importFileRegion, loadingFrom } from './file-region';
import type { ImageImporter } from './importer';

/** How an ELF file is placed. */
export interface ElfPlacement {
  /** Lowest GPA in bytes that the file may use; an entry point or a segment below it is an error. Page-aligned. */
  startAddress: number;
  /** Bytes added to each segment's physical address and to the entry point. */
  loadOffset: number;
  /** The code is position-independent: the lowest page moves to `startAddress`, the rest with it. */
  assumePic: boolean;
  acceptance: PageAcceptance;
  /** Name in the map file, and in messages. */
  tag: string;
}

/** A range of guest memory in bytes, end exclusive. */
export interface GpaRange {
  start: number;
  end: number;
}

/**
 * The lowest address if there is none. Upstream starts its search with the largest u64 and keeps it if nothing is
 * found. Written as a u64, and in sums modulo 2^64, -1 is the same.
 */
export const NO_ADDRESS = -1;

/** Where an ELF file was loaded. */
export interface ElfLoadInfo {
  /** Start of the lowest page used; {@link NO_ADDRESS} in a file without segments. */
  minimumAddress: number;
  /** End of the highest page used. */
  nextAddress: number;
  /** Any u64: it is the file's value, and only the guest can tell whether it is right. */
  entrypoint: bigint;
  /** The pages of each segment that has memory, in file order. */
  segments: GpaRange[];
}

/**
 * Loads an ELF file's PT_LOAD segments at their physical addresses, each as one run that refers to the file. Two
 * segments in one page are an error: pages can't be shared (openvmm vm/loader/src/elf.rs: load_static_elf).
 *
 * For a file without segments, nothing is loaded, and a note says so: upstream builds such an image, and so do we. Only
 * position-independent code needs a segment.
 * @throws IgvmError KERNEL_INVALID, LAYOUT_OVERLAP
 */
export const loadStaticElf = (importer: ImageImporter, source: ByteSource, placement: ElfPlacement): ElfLoadInfo =>
  loadingFrom(source, () => loadSegments(importer, source, placement));

function loadSegments(importer: ImageImporter, source: ByteSource, placement: ElfPlacement): ElfLoadInfo {
  const { startAddress, assumePic, acceptance, tag } = placement;
  const header = readElfHeader(source, importer.arch, tag);
  const segments = header.segments.map((segment) => ({
    address: address(segment.physicalAddress, `${tag} has a segment at`),
    memorySize: address(segment.memorySize, `${tag} has a segment of size`),
    // Large values are rounded; they are not used for reading unless they lie within the file.
    fileOffset: Number(segment.fileOffset),
    fileSize: Number(segment.fileSize),
  }));
  if (segments.length === 0) {
    if (assumePic) throw new IgvmError('KERNEL_INVALID', `${tag} has no segment to load`);
    importer.note(`${tag} has no segment to load: none of it is in the image`);
  }

  const zeros = segments.reduce((sum, { memorySize, fileSize }) => sum + Math.max(0, memorySize - fileSize), 0);
  checkZeroFill(tag, zeros);

  const lowest = segments.reduce((least, segment) => Math.min(least, segment.address), GPA_LIMIT);
  const raise = assumePic && lowest < startAddress ? startAddress - lowest : 0;
  const loadOffset = placement.loadOffset + raise;
  const entry = header.entry + BigInt(loadOffset);
  if (entry < BigInt(startAddress) || entry >= 1n << 64n) {
    throw new IgvmError(
      'KERNEL_INVALID',
      `${tag} has its entry point at ${hex(entry)}, below the lowest address that it may use (${hex(startAddress)}) or beyond 2^64`,
      { offset: 24 },
    );
  }

  let first = GPA_LIMIT;
  let last = loadOffset;
  for (const { address: physical, memorySize } of segments) {
    const gpa = physical + loadOffset;
    if (gpa < startAddress) {
      throw new IgvmError(
        'KERNEL_INVALID',
        `${tag} has a segment below the lowest address that it may use (${hex(startAddress)})`,
        { gpa: { start: gpa, end: gpa + memorySize } },
      );
    }
    const page = alignDown(gpa, PAGE_SIZE);
    first = Math.min(first, page);
    last = Math.max(last, page + pagesFor(gpa - page + memorySize) * PAGE_SIZE);
  }
  const lower = assumePic ? first - startAddress : 0;
  if (entry < BigInt(lower)) {
    throw new IgvmError('KERNEL_INVALID', `${tag} has its entry point at ${hex(entry)}, below its first segment`, {
      offset: 24,
    });
  }

  const ranges: GpaRange[] = [];
  for (const { address: physical, memorySize, fileOffset, fileSize } of segments) {
    if (memorySize === 0) continue;
    if (fileSize === 0 && fileOffset >= FILE_OFFSET_LIMIT) {
      throw new IgvmError(
        'KERNEL_INVALID',
        `${tag} has a segment at file offset ${hex(BigInt(fileOffset))}, beyond any file`,
      );
    }
    const gpa = physical + loadOffset - lower;
    importFileRegion(importer, {
      source,
      offset: fileOffset,
      length: fileSize,
      gpa,
      memoryLength: memorySize,
      acceptance,
      tag,
    });
    const start = alignDown(gpa, PAGE_SIZE);
    ranges.push({ start, end: start + pagesFor(gpa - start + memorySize) * PAGE_SIZE });
  }
  return {
    minimumAddress: segments.length === 0 ? NO_ADDRESS : first - lower,
    nextAddress: last - lower,
    entrypoint: entry - BigInt(lower),
    segments: ranges,
  };
}

/** File offsets are signed 64-bit numbers on every system, and upstream seeks there even for a segment without data. */
const FILE_OFFSET_LIMIT = 2 ** 63;

/** A u64 of the file as a number that is small enough for exact sums of two. */
function address(value: bigint, what: string): number {
  if (value > BigInt(GPA_LIMIT)) {
    throw new IgvmError('KERNEL_INVALID', `${what} ${hex(value)}, which lies beyond the address space of 2^52 bytes`);
  }
  return Number(value);
}
