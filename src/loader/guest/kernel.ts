import { IgvmError, unreachable } from '../../errors/igvm-error';
import { hex } from '../../errors/printable';
import type { ByteSource } from '../../memory/byte-source';
import { alignDown, alignUp, GPA_LIMIT, PAGE_SIZE } from '../../memory/page';
import { readArm64Image } from '../formats/arm64-image';
import { type BzImageInfo, isBzImage, readBzImage } from '../formats/bzimage';
import { type GpaRange, loadStaticElf } from './elf';
import { fileKind } from '../formats/file-kind';
import { isElf, programKind } from '../formats/elf-header';
import { checkZeroFill, importFileRegion, loadingFrom } from './file-region';
import type { ImageImporter } from './importer';

const KERNEL_TAG = 'linux-kernel';

/** Where a kernel lies. GPAs and sizes in bytes. */
export interface KernelInfo {
  /**
   * Start of the kernel's pages; for an arm64 kernel the 2 MiB boundary, without the text offset; NO_ADDRESS (./elf) if
   * nothing is loaded.
   */
  gpa: number;
  size: number;
  entrypoint: bigint;
  /** The pages that are imported: gaps between an ELF file's segments stay free. */
  segments: GpaRange[];
  /** First GPA after the kernel and the memory that it needs while it starts. */
  end: bigint;
}

/** An initrd after a kernel starts at a multiple of this, and so does an arm64 kernel. Bytes. */
export const LARGE_PAGE_SIZE = 0x200000;

/** Where an initrd lies, in bytes; its last page is padded with zeros. */
export interface InitrdInfo {
  gpa: number;
  size: number;
}

/** What {@link loadKernelAndInitrdX64} and its arm64 sibling placed. */
export interface LinuxLoadInfo {
  kernel: KernelInfo;
  initrd?: InitrdInfo;
  /** Present when the kernel is a bzImage: the zero page gets its setup header. */
  bzImage?: BzImageInfo;
}

/**
 * Loads an x64 kernel, bzImage or ELF vmlinux, and an initrd. Sets no registers and no boot data (openvmm
 * vm/loader/src/linux.rs: load_kernel_and_initrd_x64).
 * @param startAddress page-aligned GPA in bytes: the place of a bzImage, or the lowest address of an ELF kernel
 * @throws IgvmError KERNEL_INVALID, LAYOUT_OVERLAP
 */
export function loadKernelAndInitrdX64(
  importer: ImageImporter,
  kernel: ByteSource,
  startAddress: number,
  initrd?: ByteSource,
): LinuxLoadInfo {
  return loadingFrom(kernel, () => {
    if (isBzImage(kernel)) return loadBzImage(importer, kernel, startAddress, initrd);
    if (!isElf(kernel)) {
      const kind = fileKind(kernel, 'x64');
      throw new IgvmError(
        'KERNEL_INVALID',
        `${KERNEL_TAG} ${kind ?? 'is neither a bzImage (vmlinuz) nor an ELF file (vmlinux) for x64'}`,
        { offset: 0 },
        { saysAll: kind !== undefined },
      );
    }
    const program = programKind(kernel);
    if (program !== undefined) importer.note(`${KERNEL_TAG} is ${program}, which no processor can start by itself`);
    const { minimumAddress, nextAddress, entrypoint, segments } = loadStaticElf(importer, kernel, {
      startAddress,
      loadOffset: 0,
      assumePic: false,
      acceptance: 'exclusive',
      tag: KERNEL_TAG,
    });
    const end = BigInt(nextAddress);
    return {
      kernel: { gpa: minimumAddress, size: nextAddress - minimumAddress, entrypoint, segments, end },
      initrd: importInitrd(importer, initrd, end, KERNEL_TAG),
    };
  });
}

/** The kernel decompresses itself at boot; the initrd must not overlap the memory that it uses for that. */
function loadBzImage(
  importer: ImageImporter,
  kernel: ByteSource,
  startAddress: number,
  initrd?: ByteSource,
): LinuxLoadInfo {
  const bzImage = readBzImage(kernel, KERNEL_TAG);
  if (startAddress % PAGE_SIZE !== 0) unreachable(`bzImage at unaligned address ${startAddress}`);
  const size = alignUp(bzImage.payloadSize, PAGE_SIZE);
  importFileRegion(importer, {
    source: kernel,
    offset: bzImage.payloadOffset,
    length: bzImage.payloadSize,
    gpa: startAddress,
    memoryLength: size,
    acceptance: 'exclusive',
    tag: KERNEL_TAG,
  });
  const loadEnd = BigInt(startAddress + size);
  const start = BigInt(startAddress);
  const initStart = bzImage.preferredAddress > start ? bzImage.preferredAddress : start;
  const initEnd = initStart + BigInt(bzImage.initSize);
  const end = initEnd > loadEnd ? initEnd : loadEnd;
  return {
    kernel: {
      gpa: startAddress,
      size,
      entrypoint: BigInt(startAddress + bzImage.entryOffset),
      segments: [{ start: startAddress, end: startAddress + size }],
      end,
    },
    initrd: importInitrd(importer, initrd, end, KERNEL_TAG),
    bzImage,
  };
}

/**
 * Loads an arm64 kernel `Image` and an initrd. Sets no registers and no boot data (openvmm vm/loader/src/linux.rs:
 * load_kernel_and_initrd_arm64).
 * @param startAddress GPA in bytes, a multiple of 2 MiB; the kernel's text offset is added
 * @param label the kernel's name in messages: a paravisor's kernel has the same tag in the map file as one in VTL0
 * @throws IgvmError KERNEL_INVALID, LAYOUT_OVERLAP
 */
export function loadKernelAndInitrdArm64(
  importer: ImageImporter,
  kernel: ByteSource,
  startAddress: number,
  initrd?: ByteSource,
  label = KERNEL_TAG,
): LinuxLoadInfo {
  if (startAddress % LARGE_PAGE_SIZE !== 0) unreachable(`arm64 kernel at ${startAddress}, not a multiple of 2 MiB`);
  return loadingFrom(kernel, () => {
    const image = readArm64Image(kernel, label);
    const memory = image.imageSize === 0n ? BigInt(kernel.size) : image.imageSize;
    if (image.textOffset > BigInt(GPA_LIMIT) || memory > BigInt(GPA_LIMIT)) {
      throw new IgvmError(
        'KERNEL_INVALID',
        `${label} asks for ${memory} bytes of memory at text offset ${image.textOffset}, beyond the address space of 2^52 bytes`,
        { offset: memory > BigInt(GPA_LIMIT) ? 16 : 8 },
      );
    }
    checkZeroFill(label, Number(memory) - kernel.size);
    const size = alignUp(Number(memory), PAGE_SIZE);
    const address = startAddress + Number(image.textOffset);
    if (kernel.size > size) {
      throw new IgvmError(
        'KERNEL_INVALID',
        `${label} is ${kernel.size} bytes long but says that it needs only ${memory} bytes of memory`,
        { offset: 16 },
      );
    }
    // As upstream does, at the page that holds the address: real kernels have page-aligned text offsets.
    const base = alignDown(address, PAGE_SIZE);
    importFileRegion(importer, {
      source: kernel,
      offset: 0,
      length: kernel.size,
      gpa: base,
      memoryLength: size,
      acceptance: 'exclusive',
      tag: KERNEL_TAG,
      label,
    });
    const end = BigInt(address + size);
    return {
      kernel: {
        gpa: startAddress,
        size,
        entrypoint: BigInt(address),
        segments: [{ start: base, end: base + size }],
        end,
      },
      initrd: importInitrd(importer, initrd, end, label),
    };
  });
}

/**
 * Imports an initrd as one run, at the first 2 MiB boundary after the kernel. For an empty file nothing is imported,
 * but it still has an address (openvmm vm/loader/src/linux.rs: import_initrd).
 * @param nextAddress first GPA after the kernel and the memory that it needs while it starts
 * @param kernel the kernel's name in messages
 * @throws IgvmError LAYOUT_OVERLAP, KERNEL_INVALID
 */
function importInitrd(
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
