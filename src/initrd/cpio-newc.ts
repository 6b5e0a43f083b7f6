/**
 * The archive format of an initramfs: cpio "newc", as the kernel's init/initramfs.c reads it
 * (Documentation/driver-api/early-userspace/buffer-format.rst). Headers are text; names and data are padded to 4 bytes.
 */

/** `st_mode`'s file types. */
export const FILE_TYPE = {
  char: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  link: 0o120000,
} as const;

/** One member of an archive. What differs between machines is left out of that of a folder: owner, times, device, inode. */
export interface CpioMember {
  /** Without a leading slash. */
  path: string;
  type: keyof typeof FILE_TYPE;
  /** Permission bits, with set-user-ID and the like. */
  permissions: number;
  /** Bytes of data that follow: a file's content, or a link's target. Less than 4 GiB. */
  size: number;
  /** Of a device. */
  major?: number;
  minor?: number;
  /** Numbers of the user and the group that it belongs to. Default: root, 0. */
  owner?: number;
  group?: number;
  /** Seconds since 1970, up to 32 bits. Default: 0. */
  time?: number;
}

const MAGIC = '070701';
const TRAILER = 'TRAILER!!!';
/** What cpio programs fill archives up to. */
const BLOCK = 512;

/**
 * A member's header and name.
 * @param serial stands for the inode number: a member's place in the archive, from 1
 * @param names of a file with several: how many. All have the first one's serial, and the data is behind the last one.
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
