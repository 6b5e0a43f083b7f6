import type { GuestArch } from '../../igvm/model';
import type { ByteSource } from '../../memory/byte-source';
import { peSectionNames } from '../../uki/pe';

/**
 * Recognises, by its first bytes, a file that was given as a kernel but can't be loaded, for messages that say what to
 * do. Nothing here is needed to load a file.
 */

/** Enough for every signature here, and for the headers of most EFI programs. Bytes. */
const HEAD_SIZE = 4096;

/** A file's first bytes, and zeros where it has fewer. */
class Head {
  readonly view = new DataView(new ArrayBuffer(HEAD_SIZE));

  constructor(readonly source: ByteSource) {
    source.read(0, new Uint8Array(this.view.buffer, 0, Math.min(source.size, HEAD_SIZE)));
  }

  /** Bytes as characters. */
  text(offset: number, length: number): string {
    return String.fromCharCode(...new Uint8Array(this.view.buffer, offset, length));
  }

  has(offset: number, mark: string): boolean {
    return offset + mark.length <= Math.min(this.source.size, HEAD_SIZE) && this.text(offset, mark.length) === mark;
  }
}

/** Compressed files and archives: their first bytes, their name, and how to unpack them. */
const MARKS: readonly (readonly [mark: string, what: string])[] = [
  ['\x1f\x8b', 'is compressed with gzip: unpack it first (gzip -dc)'],
  ['\x28\xb5\x2f\xfd', 'is compressed with zstd: unpack it first (zstd -dc)'],
  ['\xfd7zXZ\0', 'is compressed with xz: unpack it first (xz -dc)'],
  ['BZh', 'is compressed with bzip2: unpack it first (bzip2 -dc)'],
  ['\x02\x21\x4c\x18', 'is compressed with lz4: unpack it first (lz4 -dc)'],
  ['\x04\x22\x4d\x18', 'is compressed with lz4: unpack it first (lz4 -dc)'],
  ['\x5d\0\0', 'is compressed with lzma: unpack it first (xz -dc --format=lzma)'],
  ['\x89LZO\0\r\n', 'is compressed with lzo: unpack it first (lzop -dc)'],
  ['070701', 'is a cpio archive, like an initramfs, not a kernel: give it as linux_initrd'],
  ['070702', 'is a cpio archive, like an initramfs, not a kernel: give it as linux_initrd'],
  ['070707', 'is a cpio archive, not a kernel'],
  ['!<arch>\n', 'is an archive (ar, or a Debian package), not a kernel: unpack it first'],
  ['\xed\xab\xee\xdb', 'is an RPM package, not a kernel: unpack it first'],
  ['PK\x03\x04', 'is a zip archive, not a kernel: unpack it first'],
  ['\x27\x05\x19\x56', 'is a U-Boot image, not a bare kernel: unpack it first (dumpimage)'],
  ['\xd0\x0d\xfe\xed', 'is a device tree, or a FIT image with a kernel inside: unpack it first (dumpimage)'],
  ['IGVM', 'is an IGVM image, not a kernel'],
  ['QFI\xfb', 'is a disk image, not a kernel'],
  ['#!', 'is a script, not a kernel'],
];

const ELF_MARK = '\x7fELF';

/** The kernels that can be loaded. */
const WANTED: Readonly<Record<GuestArch, string>> = {
  x64: 'use a bzImage (vmlinuz) or its vmlinux',
  aarch64: "use the kernel's Image",
};

/** The signatures of kernels for two architectures whose headers have the same form. */
const IMAGE_MARKS: readonly (readonly [mark: string, arch: string])[] = [
  ['ARM\x64', 'arm64'],
  ['RSC\x05', 'RISC-V'],
];

/**
 * Offset of that signature, and of the fields of an EFI zboot kernel (Linux,
 * drivers/firmware/efi/libstub/zboot-header.S).
 */
const IMAGE_MARK_OFFSET = 56;
const ZBOOT = { mark: 4, payloadOffset: 8, payloadSize: 12, compression: 24 };

/** How to unpack the payload of a zboot kernel, by the name of its compression. */
const ZBOOT_TOOLS: Readonly<Record<string, string>> = {
  gzip: 'gzip -dc',
  zstd: 'zstd -dc',
  xzkern: 'xz -dc',
  lzma: 'xz -dc',
  lz4: 'lz4 -dc',
};

/** PE files (PE format specification): the offsets of the fields that are read here. */
const PE = {
  headerOffset: 0x3c,
  machine: 4,
  optionalHeaderSize: 20,
  headerSize: 24,
  /** In the optional header, 32- and 64-bit alike. */
  subsystem: 68,
};

/** Subsystems 10 to 13: applications, drivers and ROMs of EFI. */
const EFI_SUBSYSTEMS = [10, 11, 12, 13];

const MACHINES: Readonly<Record<number, string>> = {
  0x8664: 'x64',
  0xaa64: 'arm64',
  0x14c: '32-bit x86',
  0x5064: 'RISC-V',
};

/**
 * What a file is and what to do with it, as the rest of a sentence that begins with the file's name; undefined for
 * unknown files, and for ELF files, whose reader says what is wrong.
 * @param arch the guest's architecture
 */
export function fileKind(source: ByteSource, arch: GuestArch): string | undefined {
  if (source.size === 0) return 'is an empty file';
  const head = new Head(source);
  if (head.has(0, ELF_MARK)) return undefined;
  return (
    MARKS.find(([mark]) => head.has(0, mark))?.[1] ??
    zbootKernel(head) ??
    bareImage(head, arch) ??
    (head.has(0, 'MZ') ? portableExecutable(head, arch) : undefined)
  );
}

/** An EFI program with a compressed kernel inside, which unpacks itself with the help of firmware. */
function zbootKernel(head: Head): string | undefined {
  if (!head.has(0, 'MZ') || !head.has(ZBOOT.mark, 'zimg')) return undefined;
  const [compression = ''] = head.text(ZBOOT.compression, 32).split('\0');
  const known = Object.hasOwn(ZBOOT_TOOLS, compression);
  const offset = head.view.getUint32(ZBOOT.payloadOffset, true);
  const size = head.view.getUint32(ZBOOT.payloadSize, true);
  const way =
    known && offset > 0 && size > 0 && offset + size <= head.source.size
      ? ` (tail -c +${offset + 1} FILE | head -c ${size} | ${ZBOOT_TOOLS[compression]})`
      : '';
  const packed = known ? `, which is compressed with ${compression.replace('kern', '')}` : '';
  return `is an EFI zboot kernel, which only firmware can start: unpack the kernel inside it${packed}${way}`;
}

/** An uncompressed kernel with the header that arm64 and RISC-V share. */
function bareImage(head: Head, guest: GuestArch): string | undefined {
  const [, arch] = IMAGE_MARKS.find(([mark]) => head.has(IMAGE_MARK_OFFSET, mark)) ?? [];
  if (arch === undefined) return undefined;
  const instead = arch === 'arm64' ? `${WANTED[guest]}, or "guest_arch": "aarch64"` : WANTED[guest];
  return `is a kernel Image for ${arch}, and the guest is ${guest}: ${instead}`;
}

function portableExecutable({ view, source }: Head, guest: GuestArch): string {
  const at = view.getUint32(PE.headerOffset, true);
  const isPe = at <= HEAD_SIZE - PE.headerSize - PE.subsystem - 2 && view.getUint32(at) === 0x50450000;
  if (!isPe) return `is a program for DOS, Windows or EFI, not a kernel that can be loaded: ${WANTED[guest]}`;
  if (peSectionNames(source).includes('.linux')) {
    return (
      'is a unified kernel image (UKI), an EFI program: take the kernel out of its section .linux ' +
      '(objcopy -O binary --only-section=.linux --set-section-flags .linux=alloc FILE vmlinuz), its initramfs out of .initrd'
    );
  }
  const machine = MACHINES[view.getUint16(at + PE.machine, true)];
  const size = view.getUint16(at + PE.optionalHeaderSize, true);
  const subsystem = size >= PE.subsystem + 2 ? view.getUint16(at + PE.headerSize + PE.subsystem, true) : undefined;
  const isEfi = subsystem === undefined || EFI_SUBSYSTEMS.includes(subsystem);
  const what = isEfi ? 'an EFI program' : 'a program for Windows';
  const forMachine = machine === undefined ? '' : ` for ${machine}`;
  return isEfi
    ? `is ${what}${forMachine}, which only firmware can start, not a kernel that can be loaded: ${WANTED[guest]}; a unified kernel image has one in its section .linux`
    : `is ${what}${forMachine}, not a kernel: ${WANTED[guest]}`;
}
