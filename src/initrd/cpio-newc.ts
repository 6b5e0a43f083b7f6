/**
 * The archive format of an initramfs: cpio "newc", as the kernel's init/initramfs.c reads it
 * (Documentation/driver-api/early-userspace/buffer-format.rst). Headers are text; names and data are padded to 4 bytes.
 * Also the rules about entries that Linux would silently drop or change while it unpacks an archive. Packing refuses these entries,
 * because the fault would otherwise show up only in the guest.
 */
import type { InitrdEntry } from './collect-entries';

/** `st_mode`'s file types. */
export const FILE_TYPE = {
  char: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  link: 0o120000,
} as const;

/** One member of an archive. For folders, properties that differ between machines are left out: owner, times, device, inode. */
export interface CpioMember {
  /** Without a leading slash. */
  path: string;
  type: keyof typeof FILE_TYPE;
  /** Permission bits, with set-user-ID and the like. */
  permissions: number;
  /** Bytes of data that follow: a file's content, or a link's target. Less than 4 GiB. */
  size: number;
  /** The numbers of a device. */
  major?: number;
  minor?: number;
  /** The numbers of its user and group. Default: root, 0. */
  owner?: number;
  group?: number;
  /** Seconds since 1970, up to 32 bits. Default: 0. */
  time?: number;
}

const MAGIC = '070701';
/** The name that ends an archive. Linux drops a member of this name; other readers stop there. */
const TRAILER = 'TRAILER!!!';
/** cpio programs pad archives to this size. */
const BLOCK = 512;

/**
 * A member's header and name.
 * @param serial used as the inode number: the position of the member in the archive, from 1
 * @param names the number of names of a file. All have the serial of the first one, and the data follows the last one.
 */
export function cpioHeader(member: CpioMember, serial: number, names = 1): Uint8Array {
  return headerBytes({
    path: member.path,
    serial,
    mode: FILE_TYPE[member.type] | member.permissions,
    owner: member.owner ?? 0,
    group: member.group ?? 0,
    time: member.time ?? 0,
    links: member.type === 'directory' ? 2 : names,
    size: member.size,
    major: member.major ?? 0,
    minor: member.minor ?? 0,
  });
}

/** The end of an archive that has `length` bytes so far. */
export function cpioTrailer(length: number): Uint8Array {
  const header = headerBytes({
    path: TRAILER,
    serial: 0,
    mode: 0,
    owner: 0,
    group: 0,
    time: 0,
    links: 1,
    size: 0,
    major: 0,
    minor: 0,
  });
  const end = Math.ceil((length + header.length) / BLOCK) * BLOCK;
  const trailer = new Uint8Array(end - length);
  trailer.set(header);
  return trailer;
}

/** The zeros that follow `size` bytes of data. */
export function cpioPadding(size: number): Uint8Array {
  return new Uint8Array(-size & 3);
}

interface Header {
  path: string;
  serial: number;
  mode: number;
  owner: number;
  group: number;
  time: number;
  links: number;
  size: number;
  major: number;
  minor: number;
}

function headerBytes({ path, serial, mode, owner, group, time, links, size, major, minor }: Header): Uint8Array {
  const name = new TextEncoder().encode(`${path}\0`);
  const [device, checksum] = [0, 0];
  const fields = [serial, mode, owner, group, links, time, size, device, device, major, minor, name.length, checksum];
  const text = MAGIC + fields.map((field) => field.toString(16).toUpperCase().padStart(8, '0')).join('');
  const bytes = new Uint8Array(Math.ceil((text.length + name.length) / 4) * 4);
  bytes.set(new TextEncoder().encode(text));
  bytes.set(name, text.length);
  return bytes;
}

/** Half of a UTF-16 surrogate pair, which has no UTF-8 form. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** The longest name of a file, in bytes (NAME_MAX in include/uapi/linux/limits.h). */
const LONGEST_NAME = 255;

/** The longest path and the longest target of a link, in bytes: PATH_MAX there, without the NUL at the end. */
const LONGEST_PATH = 4095;

/** Device numbers of the kernel have 12 and 20 bits (MINORBITS in include/linux/kdev_t.h). */
export const LARGEST_MAJOR = 2 ** 12 - 1;
export const LARGEST_MINOR = 2 ** 20 - 1;

/** The largest file, in bytes: a header has 8 hexadecimal digits for its size. */
export const LARGEST_FILE = 2 ** 32 - 1;

/** The most members: a header has 8 digits for a member's number, and a Map can hold this many. */
export const MOST_ENTRIES = 2 ** 24 - 1;

/** A path for messages. One that is too long for Linux is also too long for a terminal. */
export const shortened = (text: string): string =>
  text.length <= 100 ? text : `${text.slice(0, 60)}…${text.slice(-30)}`;

/** What is wrong with the path, link target, device numbers or size of an entry, as a sentence without its subject, the path. */
export function faultOf(entry: InitrdEntry): string | undefined {
  return faultOfPath(entry.path) ?? faultOfContent(entry) ?? builtInFault(entry);
}

function faultOfPath(path: string): string | undefined {
  if (path === TRAILER) return 'has the name that marks the end of an archive, which no entry can have';
  if (LONE_SURROGATE.test(path)) return 'is not valid Unicode text, so it has no UTF-8 form';
  if (path.split('/').some((name) => Buffer.byteLength(name) > LONGEST_NAME)) {
    return `has a name of more than ${LONGEST_NAME} bytes, the most that Linux accepts`;
  }
  if (Buffer.byteLength(path) > LONGEST_PATH) {
    return `has ${Buffer.byteLength(path)} bytes; Linux accepts paths of up to ${LONGEST_PATH}`;
  }
  return undefined;
}

function faultOfContent({ type, target, size, major, minor }: InitrdEntry): string | undefined {
  switch (type) {
    case 'file':
      return size > LARGEST_FILE ? 'is larger than an initramfs can hold: 4 GiB' : undefined;
    case 'link':
      return faultOfTarget(target ?? '');
    case 'char':
    case 'block':
      if (!isNumber(major, LARGEST_MAJOR)) return `has a major number that is not from 0 to ${LARGEST_MAJOR}`;
      if (!isNumber(minor, LARGEST_MINOR)) return `has a minor number that is not from 0 to ${LARGEST_MINOR}`;
      return undefined;
    case 'directory':
      return undefined;
  }
}

const isNumber = (value: number | undefined, largest: number): boolean =>
  value !== undefined && Number.isInteger(value) && value >= 0 && value <= largest;

function faultOfTarget(target: string): string | undefined {
  if (target === '') return 'is a link without a target';
  if (target.includes('\0')) return 'links to a path with a NUL character, where Linux would cut it off';
  if (LONE_SURROGATE.test(target)) return 'links to a path that is not valid Unicode text, so it has no UTF-8 form';
  const length = Buffer.byteLength(target);
  return length > LONGEST_PATH ? `links to a path of ${length} bytes; Linux accepts up to ${LONGEST_PATH}` : undefined;
}

/**
 * Every kernel first unpacks its own built-in archive, usually with `/dev`, `/dev/console` (5:1) and `/root` (usr/default_cpio_list).
 * Later entries replace a file of another kind, but can't remove a folder that is not empty, and leave a device of the same kind
 * unchanged.
 */
function builtInFault({ path, type, major, minor }: InitrdEntry): string | undefined {
  if (path === 'dev' && type !== 'directory') return 'must be a folder: Linux has one there, with "dev/console" in it';
  if (path === 'dev/console' && type === 'char' && !(major === 5 && minor === 1)) {
    return 'must have the numbers 5 and 1: Linux has this device already and keeps it';
  }
  return undefined;
}
