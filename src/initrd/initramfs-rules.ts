/**
 * What Linux leaves out of an initramfs or changes, without a word, while it unpacks one (init/initramfs.c). Packing refuses
 * all of it: otherwise it would show up in the guest only.
 */
import type { InitrdEntry } from './collect-entries';

/** The name that ends a cpio archive. Linux drops a member of this name; other readers stop there. */
const TRAILER = 'TRAILER!!!';

/** Half a character of UTF-16: it has no UTF-8 form. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Longest name of a file, in bytes (NAME_MAX in include/uapi/linux/limits.h). */
const LONGEST_NAME = 255;

/** Longest path and longest target of a link, in bytes: PATH_MAX there, less the NUL at the end. */
const LONGEST_PATH = 4095;

/** Device numbers of the kernel have 12 and 20 bits (MINORBITS in include/linux/kdev_t.h). */
export const LARGEST_MAJOR = 2 ** 12 - 1;
export const LARGEST_MINOR = 2 ** 20 - 1;

/** The largest file, in bytes: a header has 8 hexadecimal digits for its size. */
export const LARGEST_FILE = 2 ** 32 - 1;

/** Most members: a header has 8 digits for a member's number as well, and a Map holds this many. */
export const MOST_ENTRIES = 2 ** 24 - 1;

/** What is wrong with an entry's path, link target, device numbers or size, as the end of a sentence that begins with its path. */
export function faultOf(entry: InitrdEntry): string | undefined {
  return faultOfPath(entry.path) ?? faultOfContent(entry) ?? builtInFault(entry);
}

function faultOfPath(path: string): string | undefined {
  if (path === TRAILER) return 'has the name that marks the end of an archive; nothing else can have it';
  if (LONE_SURROGATE.test(path)) return 'is not whole Unicode text, and so has no bytes of its own';
  if (path.split('/').some((name) => Buffer.byteLength(name) > LONGEST_NAME)) {
    return `has a name of more than ${LONGEST_NAME} bytes, the most that Linux takes`;
  }
  if (Buffer.byteLength(path) > LONGEST_PATH) {
    return `has ${Buffer.byteLength(path)} bytes; Linux takes paths of up to ${LONGEST_PATH}`;
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
  if (target === '') return 'is a link to nothing';
  if (target.includes('\0')) return 'links to a path with a NUL character, where Linux would cut it off';
  if (LONE_SURROGATE.test(target)) return 'links to what is not whole Unicode text, and so has no bytes of its own';
  const length = Buffer.byteLength(target);
  return length > LONGEST_PATH ? `links to a path of ${length} bytes; Linux takes up to ${LONGEST_PATH}` : undefined;
}

/**
 * Every kernel first unpacks an archive of its own, usually with `/dev`, `/dev/console` (5:1) and `/root`
 * (usr/default_cpio_list). It puts another kind of file in the place of what is there, but can't remove a folder with
 * something in it, and leaves a device of the same kind as it is.
 */
function builtInFault({ path, type, major, minor }: InitrdEntry): string | undefined {
  if (path === 'dev' && type !== 'directory') return 'must be a folder: Linux has one there, with "dev/console" in it';
  if (path === 'dev/console' && type === 'char' && !(major === 5 && minor === 1)) {
    return 'must have the numbers 5 and 1: Linux has this device already and keeps it';
  }
  return undefined;
}
