import type { ByteSource } from '../memory/byte-source';

/** What files begin with that are given in the place of an image, and what they are. */
const MARKS: readonly (readonly [mark: string, what: string])[] = [
  ['\x7fELF', 'an ELF file, such as an uncompressed kernel'],
  ['070701', 'a cpio archive, as an initramfs is'],
  ['070702', 'a cpio archive, as an initramfs is'],
  ['\x1f\x8b', 'compressed with gzip'],
  ['\x28\xb5\x2f\xfd', 'compressed with zstd'],
  ['\xfd7zXZ\0', 'compressed with xz'],
  ['{', 'a text, such as a manifest: "nx-igvm build" makes an image of one'],
  ['QFI\xfb', 'a disk image'],
];

/** The setup header of a bzImage (Linux, Documentation/arch/x86/boot.rst), and the mark of an arm64 Image (booting.rst). */
const KERNELS: readonly (readonly [offset: number, mark: string])[] = [
  [0x202, 'HdrS'],
  [0x38, 'ARM\x64'],
];

/** Bytes: as far as the last of these marks. */
const HEAD_SIZE = 0x206;

const KERNEL = 'the file is a Linux kernel, not an IGVM image: "nx-igvm pack" makes one of it';

/**
 * What a file is that isn't an IGVM image, as a sentence; undefined for what isn't known. A kernel may look like a firmware DLL, as both can
 * be EFI programs.
 */
export function notAnImage(source: ByteSource): string | undefined {
  if (source.size === 0) return 'the file is empty';
  const head = new Uint8Array(Math.min(source.size, HEAD_SIZE));
  source.read(0, head);
  const has = (offset: number, mark: string): boolean =>
    mark === String.fromCharCode(...head.subarray(offset, offset + mark.length));
  if (KERNELS.some(([offset, mark]) => has(offset, mark))) {
    return KERNEL;
  }
  const what = MARKS.find(([mark]) => has(0, mark))?.[1];
  return what === undefined ? undefined : `the file is no IGVM image, but ${what}`;
}

/** Whether a file is a Linux kernel, which may be an EFI program at the same time. */
export const isLinuxKernel = (source: ByteSource): boolean => notAnImage(source) === KERNEL;
