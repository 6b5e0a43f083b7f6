import { IgvmError } from '../../errors/igvm-error';
import type { ByteSource } from '../../memory/byte-source';
import { isBzImage } from './bzimage';
import { fileKind } from './file-kind';

const HEADER_SIZE = 64;
/** "ARM\x64", little-endian. */
const MAGIC = 0x644d5241;

/** Bits of the header's flags field (Linux, Documentation/arch/arm64/booting.rst). */
const FLAG_BIG_ENDIAN = 1n << 0n;
const FLAG_PAGE_SIZE = 3n << 1n;
const PAGE_SIZE_4K = 1n << 1n;
const FLAG_ANY_ADDRESS = 1n << 3n;

/** The header fields of an arm64 `Image` that a loader needs. Bytes. */
export interface Arm64ImageInfo {
  /** Required distance of the image from a 2 MiB boundary. */
  textOffset: bigint;
  /** Memory that the kernel needs from the image's start; 0 in kernels before 3.17, which need the file's size. */
  imageSize: bigint;
}

/**
 * Reads the header of an arm64 kernel `Image` (openvmm vm/loader/src/linux.rs: load_kernel_and_initrd_arm64).
 * @param label what the file is, for messages
 * @throws IgvmError KERNEL_INVALID with the byte offset of the offending field
 */
export function readArm64Image(source: ByteSource, label: string): Arm64ImageInfo {
  const invalid = (what: string, offset: number): IgvmError =>
    new IgvmError('KERNEL_INVALID', `${label} ${what}`, { offset });

  if (source.size < HEADER_SIZE) {
    throw invalid(`is too short for an arm64 kernel Image: it has ${source.size} bytes`, 0);
  }
  const bytes = new Uint8Array(HEADER_SIZE);
  source.read(0, bytes);
  const view = new DataView(bytes.buffer);
  if (view.getUint32(56, true) !== MAGIC) {
    const kind = isBzImage(source) ? 'is a bzImage, a kernel for x64' : fileKind(source, 'aarch64');
    const what = kind ?? 'is not an arm64 kernel Image (an ELF vmlinux cannot be loaded)';
    throw new IgvmError('KERNEL_INVALID', `${label} ${what}`, { offset: 56 }, { saysAll: kind !== undefined });
  }
  const flags = view.getBigUint64(24, true);
  if ((flags & FLAG_BIG_ENDIAN) !== 0n)
    throw invalid('is a big-endian kernel; only little-endian ones can be loaded', 24);
  if ((flags & FLAG_PAGE_SIZE) !== PAGE_SIZE_4K) throw invalid('is not built for pages of 4 KiB', 24);
  if ((flags & FLAG_ANY_ADDRESS) === 0n) throw invalid('must run at the start of memory; it cannot be moved', 24);
  return { textOffset: view.getBigUint64(8, true), imageSize: view.getBigUint64(16, true) };
}
