import type { ByteSource } from '../memory/byte-source';
import { FILE_TYPE } from './cpio-newc';

/** What Linux can't use as an initramfs or as a RAM disk: a mark in the file, where it is, and what the file is. */
const NO_INITRD: readonly (readonly [mark: string, offset: number, what: string])[] = [
  ['HdrS', 0x202, 'a kernel (bzImage)'],
  ['ARM\x64', 56, 'a kernel (Image for arm64)'],
  ['MZ', 0, 'an EFI program'],
  ['\x7fELF', 0, 'an ELF file, such as a kernel or a program'],
  ['IGVM', 0, 'an IGVM image'],
  ['QFI\xfb', 0, 'a disk image'],
  ['PK\x03\x04', 0, 'a zip archive'],
  ['!<arch>\n', 0, 'a Debian package or another archive of ar'],
  ['\xed\xab\xee\xdb', 0, 'an RPM package'],
  ['#!', 0, 'a script'],
];

/** What a file is that was given as an initrd and can't be one; undefined for everything that may be one. */
export function otherThanInitrd(source: ByteSource): string | undefined {
  const head = Buffer.alloc(Math.min(source.size, 1024));
  source.read(0, head);
  const found = NO_INITRD.find(([mark, offset]) => head.toString('latin1', offset, offset + mark.length) === mark);
  return found?.[2];
}

/** Words of a command line by which Linux starts something other than /init, or mounts something that has the first program. */
const OTHER_START = /^(rdinit|init|root|nfsroot)=/;

/**
 * Whether Linux finds nothing to start: the initramfs has no program `/init`, and the command line names neither another one nor a disk
 * (Linux: init/main.c, kernel_init_freeable). Only the headers of a cpio archive are read, up to its `init`. Of a compressed archive, or
 * one with something behind it, nothing is known.
 * @param commandLine of the kernel
 */
export function startsNothing(source: ByteSource, commandLine: string): boolean {
  const words: readonly string[] = commandLine.match(/(?:[^\s"]|"[^"]*"?)+/g) ?? [];
  const end = words.indexOf('--');
  const ofKernel = end === -1 ? words : words.slice(0, end);
  if (ofKernel.some((word) => OTHER_START.test(word.replaceAll('"', '')))) return false;
  return hasProgram(source, 'init') === false;
}

const HEADER_SIZE = 110;
const MAGICS = ['070701', '070702'];
const TRAILER = 'TRAILER!!!';

/** The kernel leaves out longer names. Bytes, with the NUL at the end. */
const MOST_NAME_BYTES = 4096;

/** More members than any initramfs has; nothing is said of an archive with more. */
const MOST_MEMBERS = 1_000_000;

/** Headers that lie close together are read at once. Bytes. */
const WINDOW = 8192;

/** Whether archives have a program; undefined where they can't be followed to the end of the file. */
function hasProgram(source: ByteSource, wanted: string): boolean | undefined {
  const window = new Window(source);
  let offset = 0;
  for (let member = 0; member < MOST_MEMBERS; member++) {
    if (offset >= source.size) return member === 0 ? undefined : false;
    const header = window.text(offset, HEADER_SIZE);
    // Zeros fill an archive up, and may stand before the next one.
    if (header.startsWith('\0')) {
      if (member === 0 || offset % 4 !== 0) return undefined;
      const next = window.behindZeros(offset);
      if (next === undefined) return false;
      offset = next;
      continue;
    }
    if (header.length < HEADER_SIZE || !MAGICS.includes(header.slice(0, 6))) return undefined;
    const field = (index: number): number => {
      const text = header.slice(6 + 8 * index, 14 + 8 * index);
      return /^[0-9a-f]{8}$/i.test(text) ? Number.parseInt(text, 16) : Number.NaN;
    };
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    // What isn't a number is not in any range.
    if (!(mode >= 0 && size >= 0 && nameSize > 0 && nameSize <= MOST_NAME_BYTES)) return undefined;
    const name = window.text(offset + HEADER_SIZE, nameSize);
    if (name.length < nameSize) return undefined;
    const path = name.replace(/\0.*$/s, '').replace(/^(?:\.?\/+)+/, '');
    if (path === wanted && isProgram(mode)) return true;
    const data = offset + (HEADER_SIZE + nameSize + 3 - ((HEADER_SIZE + nameSize + 3) % 4));
    offset = path === TRAILER ? data : data + (size + 3 - ((size + 3) % 4));
    if (offset > source.size + 3) return undefined;
  }
  return undefined;
}

/** A file that may be executed, or a link, which may lead to one. */
function isProgram(mode: number): boolean {
  const type = mode & 0o170000;
  return type === FILE_TYPE.link || (type === FILE_TYPE.file && (mode & 0o111) !== 0);
}

/** A part of a file, read when something outside of it is asked for. */
class Window {
  private start = 0;
  private bytes = Buffer.alloc(0);

  constructor(private readonly source: ByteSource) {}

  /** Bytes as characters; fewer at the end of the file. */
  text(offset: number, length: number): string {
    this.moveTo(offset, length);
    return this.bytes.toString('latin1', offset - this.start, offset - this.start + length);
  }

  /** Where the first byte other than zero is, a multiple of 4 bytes behind the start of the file; undefined where there is none. */
  behindZeros(from: number): number | undefined {
    for (let offset = from; offset < this.source.size; ) {
      this.moveTo(offset, 1);
      const index = this.bytes.subarray(offset - this.start).findIndex((byte) => byte !== 0);
      if (index !== -1) return offset + index - ((offset + index) % 4);
      offset = this.start + this.bytes.length;
    }
    return undefined;
  }

  private moveTo(offset: number, length: number): void {
    const end = Math.min(this.source.size, offset + length);
    if (offset >= this.start && end <= this.start + this.bytes.length) return;
    this.start = Math.min(offset, this.source.size);
    this.bytes = Buffer.alloc(Math.min(Math.max(WINDOW, length), this.source.size - this.start));
    this.source.read(this.start, this.bytes);
  }
}
