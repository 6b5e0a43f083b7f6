/**
 * Instructions for our first program of a guest, in a file of the initramfs that it maps at a fixed address. The file has lists of
 * addresses and the structures of system calls. So the program, which is written in assembler, only goes through lists and makes calls,
 * and needs no parser.
 */
import { IgvmError } from '../errors/igvm-error';

/** The process that a guest runs. */
export interface GuestProcess {
  /** Absolute path. */
  program: string;
  /** Including the name of the program. */
  arguments: readonly string[];
  /** `NAME=value`. */
  environment: readonly string[];
  workingDirectory: string;
  user: number;
  group: number;
  /** Supplementary groups. */
  groups: readonly number[];
}

/** One network interface with a static IPv4 address. */
export interface GuestNetwork {
  /** For example `eth0`. */
  interface: string;
  /** For example `10.0.2.15/24`. */
  address: string;
  /** For example `10.0.2.2`. */
  gateway?: string;
}

export interface GuestStart {
  /** Paths of kernel modules in the initramfs, in the order in which they are loaded. */
  modules?: readonly string[];
  network?: GuestNetwork;
  process?: GuestProcess;
}

/** The path of the file in the initramfs. The assembler sources have the same path. */
export const GUEST_START_PATH = '.guest/start';

/** The address at which the first program maps the file, and the size of the mapping in bytes. guest-init-*.S have the same numbers. */
const ADDRESS = 0x1000_0000;
export const LARGEST_GUEST_START = 2 ** 20;

/** A list ends with a zero. */
type Word = bigint | number | Uint8Array | Word[];

/** ioctl requests for a socket (include/uapi/linux/sockios.h). */
const SIOCADDRT = 0x890b;
const SIOCSIFFLAGS = 0x8914;
const SIOCSIFADDR = 0x8916;
const SIOCSIFNETMASK = 0x891c;

/** Flags of an interface (include/uapi/linux/if.h): up and running. */
const IFF_UP = 0x1;
const IFF_RUNNING = 0x40;

/** Flags of a route (include/uapi/linux/route.h): usable, and through a gateway. */
const RTF_UP = 0x1;
const RTF_GATEWAY = 0x2;

/** `struct ifreq`: a name of 16 bytes, then the value of the request; `struct rtentry` (the same headers). */
const IFREQ_SIZE = 40;
const IFNAMSIZ = 16;
const RTENTRY = { size: 120, destination: 8, gateway: 24, mask: 40, flags: 56 };

/** File systems that programs in containers expect, in addition to /dev, /proc and /sys. */
const MOUNTS: readonly (readonly [type: string, path: string, flags: number, data: string])[] = [
  // nosuid, noexec; the numbers are those of include/uapi/linux/mount.h. Group 5 is tty in all distributions.
  ['devpts', '/dev/pts', 0x2 | 0x8, 'gid=5,mode=620,ptmxmode=666'],
  ['tmpfs', '/dev/shm', 0x2 | 0x4, 'mode=1777'],
];

/** Links in /dev that container runtimes create (OCI runtime specification, config-linux.md). */
const LINKS: readonly (readonly [target: string, path: string])[] = [
  ['/proc/self/fd', '/dev/fd'],
  ['/proc/self/fd/0', '/dev/stdin'],
  ['/proc/self/fd/1', '/dev/stdout'],
  ['/proc/self/fd/2', '/dev/stderr'],
];

const text = (value: string): Uint8Array => Buffer.from(`${value}\0`);

/**
 * The bytes of the file.
 * @throws IgvmError CONTAINER_PROCESS when there are too many
 */
export function guestStartFile({ modules = [], network, process }: GuestStart): Uint8Array {
  const isContainer = process !== undefined;
  const fields: Word[] = [
    modules.map((path) => text(`/${path}`)),
    (isContainer ? MOUNTS : []).flatMap(([type, path, flags, data]) => [
      text(type),
      text(path),
      BigInt(flags),
      text(data),
    ]),
    (isContainer ? LINKS : []).flatMap(([target, path]) => [text(target), text(path)]),
    requests(network).flatMap(({ request, data, what }) => [BigInt(request), data, text(what)]),
    process === undefined ? 0n : text(process.program),
    process === undefined ? 0n : process.arguments.map(text),
    process === undefined ? 0n : process.environment.map(text),
    process === undefined ? 0n : text(process.workingDirectory),
    BigInt(process?.groups.length ?? 0),
    Buffer.from(new Uint32Array(process?.groups ?? []).buffer),
    BigInt(process?.group ?? 0),
    BigInt(process?.user ?? 0),
  ];
  const bytes = laidOut(fields);
  if (bytes.length <= LARGEST_GUEST_START) return bytes;
  throw new IgvmError(
    'CONTAINER_PROCESS',
    `the command of the guest, its arguments and environment have ${bytes.length} bytes, and the limit is ${LARGEST_GUEST_START}`,
  );
}

/** Writes fields of 8 bytes each: a number, or the address of data after the fields. */
function laidOut(fields: readonly Word[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let size = 0;
  const place = (bytes: Uint8Array): bigint => {
    const at = size;
    size += Math.ceil(bytes.length / 8) * 8;
    parts.push(bytes);
    return BigInt(ADDRESS + at);
  };
  const head = new Uint8Array(fields.length * 8);
  place(head);
  const wordOf = (word: Word): bigint => {
    if (typeof word === 'bigint') return word;
    if (typeof word === 'number') return BigInt(word);
    if (word instanceof Uint8Array) return place(word);
    return place(words([...word.map(wordOf), 0n]));
  };
  head.set(words(fields.map(wordOf)));
  const file = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += Math.ceil(part.length / 8) * 8;
  }
  return file;
}

function words(values: readonly bigint[]): Uint8Array {
  const bytes = Buffer.alloc(values.length * 8);
  for (const [index, value] of values.entries()) bytes.writeBigUInt64LE(value, index * 8);
  return bytes;
}

interface Request {
  request: number;
  data: Uint8Array;
  /** Its purpose, for the message if it fails. */
  what: string;
}

/** Requests that set up the loopback interface and the requested one. */
function requests(network: GuestNetwork | undefined): Request[] {
  const up = (name: string): Request => {
    const flags = Buffer.alloc(2);
    flags.writeUInt16LE(IFF_UP | IFF_RUNNING);
    return { request: SIOCSIFFLAGS, data: interfaceRequest(name, flags), what: `turn on ${name}` };
  };
  if (network === undefined) return [up('lo')];
  const { interface: name, address: withBits, gateway } = network;
  const [address = '', bits = ''] = withBits.split('/');
  const mask = Number(bits) === 0 ? 0 : (0xffffffff << (32 - Number(bits))) >>> 0;
  const netmask = [24, 16, 8, 0].map((shift) => (mask >>> shift) & 0xff).join('.');
  return [
    up('lo'),
    {
      request: SIOCSIFADDR,
      data: interfaceRequest(name, internetAddress(address)),
      what: `give ${name} the address ${address}`,
    },
    { request: SIOCSIFNETMASK, data: interfaceRequest(name, internetAddress(netmask)), what: `give ${name} a netmask` },
    up(name),
    ...(gateway === undefined
      ? []
      : [{ request: SIOCADDRT, data: defaultRoute(gateway), what: `reach others by way of ${gateway}` }]),
  ];
}

function interfaceRequest(name: string, data: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(IFREQ_SIZE);
  bytes.write(name, 0, IFNAMSIZ - 1, 'latin1');
  bytes.set(data, IFNAMSIZ);
  return bytes;
}

/** `struct sockaddr_in`: family, port, address (include/uapi/linux/in.h). */
function internetAddress(address: string): Uint8Array {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(2);
  for (const [index, part] of address.split('.').entries()) bytes[4 + index] = Number(part);
  return bytes;
}

function defaultRoute(gateway: string): Uint8Array {
  const bytes = Buffer.alloc(RTENTRY.size);
  bytes.set(internetAddress('0.0.0.0'), RTENTRY.destination);
  bytes.set(internetAddress(gateway), RTENTRY.gateway);
  bytes.set(internetAddress('0.0.0.0'), RTENTRY.mask);
  bytes.writeUInt16LE(RTF_UP | RTF_GATEWAY, RTENTRY.flags);
  return bytes;
}
