import { noise, PAGE, patch, struct, zeros } from './bytes';
import { elf, MACHINE, type Segment } from './elf';

const KERNEL_BASE = 0xffffffff80000000n;

const text = noise('k.text', 23 * PAGE + 1234);
const repeated = noise('k.rep', PAGE);
/** Pages that occur more than once, and pages of zeros, for deduplication. */
const readOnly = Buffer.concat([
  repeated,
  repeated,
  repeated,
  zeros(2 * PAGE),
  noise('k.ro', 5 * PAGE),
  repeated,
  zeros(PAGE),
]);
const data = noise('k.data', 7 * PAGE + 17);
const init = noise('k.init', 3 * PAGE + 4095);

/** Four segments as a real vmlinux has them; the last two are larger in memory than in the file. */
const vmlinuxSegments: readonly Segment[] = [
  { physical: 0x1000000, virtual: KERNEL_BASE + 0x1000000n, data: text, flags: 5 },
  { physical: 0x1200000, virtual: KERNEL_BASE + 0x1200000n, data: readOnly, flags: 4 },
  { physical: 0x1400000, virtual: KERNEL_BASE + 0x1400000n, data, memorySize: data.length + 6 * PAGE, flags: 6 },
  { physical: 0x1600000, virtual: 0n, data: init, memorySize: init.length + 19 * PAGE + 5, flags: 7 },
];
const firstSegment = vmlinuxSegments.slice(0, 1);

const xenNote = Buffer.concat([struct(['u32', 4], ['u32', 4], ['u32', 1]), Buffer.from('Xen\0'), zeros(4)]);

const vmlinux = elf(0x1000000, vmlinuxSegments, { notes: [xenNote] });

/** Segments that begin inside a page, have no data in the file, or are empty. */
const unalignedSegments: readonly Segment[] = [
  { physical: 0x1000010, virtual: KERNEL_BASE + 0x1000010n, data: noise('u.text', 2 * PAGE + 100), flags: 5 },
  { physical: 0x1004000, virtual: KERNEL_BASE + 0x1004000n, data: zeros(0), memorySize: 3 * PAGE + 1, flags: 6 },
  { physical: 0x1009000, virtual: KERNEL_BASE + 0x1009000n, data: zeros(0), flags: 6 },
  {
    physical: 0x100a123,
    virtual: KERNEL_BASE + 0x100a123n,
    data: noise('u.data', 17 * PAGE),
    memorySize: 20 * PAGE,
    flags: 6,
  },
];

const lowSegments: readonly Segment[] = [
  { physical: 0x100000, virtual: KERNEL_BASE + 0x100000n, data: noise('l.text', 9 * PAGE + 3), flags: 5 },
  {
    physical: 0x200000,
    virtual: KERNEL_BASE + 0x200000n,
    data: noise('l.data', 2 * PAGE),
    memorySize: 4 * PAGE,
    flags: 6,
  },
];

const segment = (
  physical: number,
  virtual: bigint,
  seed: string,
  size: number,
  memorySize = size,
  flags = 5,
): Segment => ({
  physical,
  virtual,
  data: noise(seed, size),
  memorySize,
  flags,
});

interface BzImageOptions {
  setupSectors?: number;
  payloadSize?: number;
  protocol?: number;
  loadFlags?: number;
  xloadFlags?: number;
  /** In units of 16 bytes. Default: the payload's size. */
  systemSize?: number;
  /** Bytes after the payload. */
  trailer?: number;
  preferredAddress?: number;
  initSize?: number;
}

/** A bzImage: a setup header as in the Linux boot protocol, and random bytes for the rest. */
function bzImage(options: BzImageOptions = {}): Buffer {
  const { setupSectors = 27, payloadSize = 70 * PAGE + 80, protocol = 0x020f, loadFlags = 1 } = options;
  const { xloadFlags = 0x7f, systemSize = Math.floor(payloadSize / 16), trailer = 0 } = options;
  const { preferredAddress = 0x1000000, initSize = 0x300000 } = options;
  const setup = Buffer.alloc(((setupSectors === 0 ? 4 : setupSectors) + 1) * 512);
  setup.write('MZ', 0, 'latin1');
  setup.write('HdrS', 0x202, 'latin1');
  patch(setup, [
    [0x1f1, 'u8', setupSectors],
    [0x1f2, 'u16', 1], // root_flags
    [0x1f4, 'u32', systemSize],
    [0x1fa, 'u16', 0xffff], // vid_mode
    [0x1fe, 'u16', 0xaa55],
    [0x200, 'u16', 0x6ceb], // jump over the header
    [0x206, 'u16', protocol],
    [0x20e, 'u16', 0x3440], // kernel_version
    [0x211, 'u8', loadFlags],
    [0x214, 'u32', 0x100000], // code32_start
    [0x224, 'u16', 0x5520], // heap_end_ptr
    [0x22c, 'u32', 0x7fffffff], // initrd_addr_max
    [0x230, 'u32', 0x200000], // kernel_alignment
    [0x234, 'u8', 1], // relocatable_kernel
    [0x235, 'u8', 0x15], // min_alignment
    [0x236, 'u16', xloadFlags],
    [0x238, 'u32', 2047], // cmdline_size
    [0x248, 'u32', 0x2dc], // payload_offset
    [0x24c, 'u32', Math.max(0, payloadSize - 0x400)], // payload_length
    [0x258, 'u64', preferredAddress],
    [0x260, 'u32', initSize],
    [0x264, 'u32', 0x190], // handover_offset
    [0x268, 'u32', 0x1000], // kernel_info_offset
  ]);
  return Buffer.concat([setup, noise('bz.pm', payloadSize), Buffer.alloc(trailer, 0xee)]);
}

/** Flags of an arm64 Image: bit 0 big-endian, bits 1-2 page size (1 is 4 KiB), bit 3 loadable anywhere. */
function arm64Image({ imageSize = 40 * PAGE, flags = 0xa, magic = 'ARM\x64' } = {}): Buffer {
  const header = struct(
    ['u32', 0xfa405a4d],
    ['u32', 0x14000000],
    ['u64', 0],
    ['u64', imageSize],
    ['u64', flags],
    zeros(24),
    Buffer.from(magic, 'latin1'),
    ['u32', 0],
  );
  return Buffer.concat([header, noise('arm64', 31 * PAGE + 99 - header.length)]);
}

/** Kernels by file name: good ones, odd ones that must load, and broken ones. */
export const LINUX_KERNELS: Readonly<Record<string, () => Uint8Array>> = {
  'vmlinux-x64.elf': () => vmlinux,
  'vmlinux-x64-highentry.elf': () => elf(0x16001b0, vmlinuxSegments, { notes: [xenNote] }),
  'vmlinux-x64-unaligned.elf': () => elf(0x1000010, unalignedSegments),
  'vmlinux-x64-low.elf': () => elf(0x100200, lowSegments),
  'bzImage-x64': () => bzImage({ trailer: 100 }),
  'bzImage-x64-syssize0': () => bzImage({ systemSize: 0, trailer: 77 }),
  'bzImage-x64-setup0': () => bzImage({ setupSectors: 0 }),
  'bzImage-x64-oldproto': () => bzImage({ protocol: 0x020b }),
  'bzImage-x64-notloadedhigh': () => bzImage({ loadFlags: 0 }),
  'bzImage-x64-no64': () => bzImage({ xloadFlags: 0 }),
  'bzImage-x64-tiny': () => bzImage({ payloadSize: 512 }),
  'bzImage-x64-truncated': () => bzImage().subarray(0, 200000),
  // The memory in which the kernel unpacks itself ends above, below or next to everything that is loaded, or beyond all addresses.
  'bzImage-x64-biginit': () => bzImage({ initSize: 0x4000000 }),
  'bzImage-x64-lowpref': () => bzImage({ preferredAddress: 0x100000, initSize: 0x20000 }),
  'bzImage-x64-oddinit': () => bzImage({ initSize: 0x300123 }),
  'bzImage-x64-hugepref': () => bzImage({ preferredAddress: 0xffff_ffff_ffff_f000, initSize: 0x2000 }),
  'Image-aarch64': () => arm64Image(),
  'Image-aarch64-size0': () => arm64Image({ imageSize: 0 }),
  'Image-aarch64-be': () => arm64Image({ flags: 0xb }),
  'Image-aarch64-64k': () => arm64Image({ flags: 0xe }),
  'Image-aarch64-low': () => arm64Image({ flags: 0x2 }),
  'Image-aarch64-badmagic': () => arm64Image({ magic: 'XXXX' }),
  'elf32-x86.elf': () => elf(0x1000000, firstSegment, { machine: MACHINE.i386, elfClass: 1 }),
  'elf-bigendian.elf': () => elf(0x1000000, firstSegment, { byteOrder: 2 }),
  'elf-aarch64-as-x64.elf': () => elf(0x1000000, firstSegment, { machine: MACHINE.aarch64 }),
  'elf-truncated.elf': () => vmlinux.subarray(0, 60000),
  'elf-filesz-gt-memsz.elf': () => elf(0x1000000, [segment(0x1000000, KERNEL_BASE, 'x', 9000, 5000)]),
  'elf-overlap.elf': () =>
    elf(0x1000000, [segment(0x1000000, KERNEL_BASE, 'x', 9000), segment(0x1002000, KERNEL_BASE, 'y', 100, 100, 6)]),
  'elf-sharedpage.elf': () =>
    elf(0x1000000, [segment(0x1000000, KERNEL_BASE, 'x', 0x2100), segment(0x1002200, KERNEL_BASE, 'y', 100, 100, 6)]),
  'elf-low-entry.elf': () => elf(0x1000, [segment(0x1000000, KERNEL_BASE, 'x', 9000)]),
  'elf-noload.elf': () => elf(0x1000000, []),
};
