import type { ByteSource } from '../memory/byte-source';
import { FILE_TYPE } from './cpio-newc';

/** Kinds of files that Linux can't use as an initramfs or as a RAM disk: a mark in the file, its offset, and the kind. */
const OTHER_KINDS: readonly (readonly [mark: string, offset: number, what: string])[] = [
  ['HdrS', 0x202, 'a kernel (bzImage)'],
  ['ARM\x64', 56, 'a kernel (Image for arm64)'],
  ['MZ', 0, 'an EFI program'],
  ['\x7fELF', 0, 'an ELF file, such as a kernel or a program'],
  ['IGVM', 0, 'an IGVM image'],
  ['QFI\xfb', 0, 'a disk image'],
  ['PK\x03\x04', 0, 'a zip archive'],
  ['!<arch>\n', 0, 'a Debian package or another ar archive'],
  ['\xed\xab\xee\xdb', 0, 'an RPM package'],
  ['#!', 0, 'a script'],
];

/** The kind of a file that was given as an initrd and can't be one; undefined for everything that may be one. */
export function otherThanInitrd(source: ByteSource): string | undefined {
  const head = Buffer.alloc(Math.min(source.size, 1024));
  source.read(0, head);
  const found = OTHER_KINDS.find(([mark, offset]) => head.toString('latin1', offset, offset + mark.length) === mark);
  return found?.[2];
}

/** Words of a command line that make Linux start something other than /init, or mount a disk that has the first program. */
const OTHER_START = /^(rdinit|init|root|nfsroot)=/;

/**
 * Whether Linux finds nothing to start: the initramfs has no program `/init`, and the command line names neither another one nor a disk
 * (Linux: init/main.c, kernel_init_freeable). Only the headers of a cpio archive are needed, up to the one of `init`. False for a
 * compressed archive, and for one that is followed by other data, because their contents are unknown.
 * @param commandLine the kernel's command line
 */
export function startsNothing(source: ByteSource, commandLine: string): boolean {
  const words: readonly string[] = commandLine.match(/(?:[^\s"]|"[^"]*"?)+/g) ?? [];
  const end = words.indexOf('--');
  const kernelWords = end === -1 ? words : words.slice(0, end);
  if (kernelWords.some((word) => OTHER_START.test(word.replaceAll('"', '')))) return false;
  return hasProgram(source, 'init') === false;
}

const HEADER_SIZE = 110;
const MAGICS = ['070701', '070702'];
const TRAILER = 'TRAILER!!!';

/** The longest name that the kernel accepts: bytes, with the NUL at the end. */
const MOST_NAME_BYTES = 4096;

/** More members than any initramfs has. An archive with more counts as unknown. */
const MOST_MEMBERS = 1_000_000;

/**
 * Bytes to read at once, at first and at most. If the next header is within {@link NEAR} bytes of the last read, the next read is twice
 * as large. So the headers of many small files take few reads, and the contents of large files are skipped.
 */
const FIRST_READ = 2 ** 13;
const LARGEST_READ = 2 ** 16;
const NEAR = 2 ** 13;

/** Whether consecutive archives contain a program; undefined if they can't be followed to the end of the file. */
function hasProgram(source: ByteSource, wanted: string): boolean | undefined {
  const window = new Window(source);
  let offset = 0;
  for (let member = 0; member < MOST_MEMBERS; member++) {
    if (offset >= source.size) return member === 0 ? undefined : false;
    const header = window.text(offset, HEADER_SIZE);
    // Zeros pad an archive, and may precede the next one.
    if (header.startsWith('\0')) {
      if (member === 0 || offset % 4 !== 0) return undefined;
      const next = window.afterZeros(offset);
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
    // NaN is in no range.
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

/** Whether a mode is that of an executable file, or of a link, which may lead to one. */
function isProgram(mode: number): boolean {
  const type = mode & 0o170000;
  return type === FILE_TYPE.link || (type === FILE_TYPE.file && (mode & 0o111) !== 0);
}

/** The part of a file that was read last. A request for bytes outside it reads another part. */
class Window {
  private start = 0;
  private bytes = Buffer.alloc(0);
  private readSize = FIRST_READ;

  constructor(private readonly source: ByteSource) {}

  /** Bytes as Latin-1 characters; fewer at the end of the file. */
  text(offset: number, length: number): string {
    this.moveTo(offset, length);
    return this.bytes.toString('latin1', offset - this.start, offset - this.start + length);
  }

  /** The offset of the first byte other than zero, rounded down to a multiple of 4; undefined if there is none. */
  afterZeros(from: number): number | undefined {
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
    const readEnd = this.start + this.bytes.length;
    if (offset >= this.start && end <= readEnd) return;
    const isNear = readEnd > 0 && offset < readEnd + NEAR;
    this.readSize = isNear ? Math.min(2 * this.readSize, LARGEST_READ) : FIRST_READ;
    this.start = Math.min(offset, this.source.size);
    this.bytes = Buffer.alloc(Math.min(Math.max(this.readSize, length), this.source.size - this.start));
    this.source.read(this.start, this.bytes);
  }
}
