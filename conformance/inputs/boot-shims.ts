import { noise, PAGE, struct } from './bytes';
import { elf, type ElfOptions, MACHINE, type Segment } from './elf';

const EXECUTABLE = 2;
const SHARED_OBJECT = 3;

const flat = (address: number, data: Uint8Array, flags = 5, memorySize = data.length): Segment => ({
  physical: address,
  virtual: BigInt(address),
  data,
  memorySize,
  flags,
});

const openhclShim = noise('shim', 12 * PAGE + 333);
const openhclData = noise('shim.data', 900);
const sidecar = noise('sidecar', 6 * PAGE + 10);

/** A boot shim is a static PIE linked at 0; its last segment is larger in memory than in the file. */
const bootShim = (machine: number): Buffer =>
  elf(
    0x1234,
    [
      flat(0x0, openhclShim.subarray(0, 4 * PAGE), 5),
      flat(0x4000, openhclShim.subarray(4 * PAGE), 4),
      flat(0x20000, openhclData, 6, openhclData.length + 5 * PAGE),
    ],
    { machine, type: SHARED_OBJECT },
  );

/** The files that OpenHCL needs besides a kernel and an initrd. */
export const OPENHCL_PARTS: Readonly<Record<string, () => Uint8Array>> = {
  'openhcl_boot-x64.elf': () => bootShim(MACHINE.x64),
  'openhcl_boot-aarch64.elf': () => bootShim(MACHINE.aarch64),
  'sidecar-x64.elf': () =>
    elf(0x40, [flat(0x0, sidecar, 5), flat(0x8000, noise('sidecar.d', 100), 6, 3 * PAGE)], { type: SHARED_OBJECT }),
};

/** The start of each shim's code: hlt, and a jump back to it. */
const HALT = Buffer.from([0xf4, 0xeb, 0xfd]);

const code = (seed: string, size: number): Buffer => Buffer.concat([HALT, noise(seed, size - HALT.length)]);

/** A shim: position-independent, linked at 0. */
const shim = (entry: number, segments: readonly Segment[], options: ElfOptions = {}): Buffer =>
  elf(entry, segments, { type: SHARED_OBJECT, ...options });

/** Code, constants, and data followed by zeros. */
const usual = [
  flat(0, code('s.text', 3 * PAGE + 100)),
  flat(0x4000, noise('s.ro', 700), 4),
  flat(0x5000, noise('s.data', 900), 6, 5 * PAGE + 40),
];

/** Alternating used and unused pages, the given number of times. */
const withHoles = (count: number): Buffer =>
  shim(
    0,
    Array.from({ length: count }, (_, index) => {
      const number = struct(['u32', index]);
      return flat(index * 2 * PAGE, Buffer.concat([number, number, number, number]));
    }),
  );

const note = Buffer.concat([
  struct(['u32', 4], ['u32', 4], ['u32', 1]),
  Buffer.from('abc\0\x01\x02\x03\x04', 'latin1'),
]);

/** 2^64 minus a page. */
const LAST_PAGE = 0xffff_ffff_ffff_f000;

/** Boot shims of SNP guests by file name: good ones, odd ones that must load, and broken ones. */
export const SNP_BOOT_SHIMS: Readonly<Record<string, () => Uint8Array>> = {
  'shim.elf': () => shim(0x40, usual),
  'shim-exec.elf': () => shim(0x40, usual, { type: EXECUTABLE }),
  'shim-one-page.elf': () => shim(0, [flat(0, code('s1', PAGE))]),
  'shim-tiny.elf': () => shim(0, [flat(0, HALT)]),
  'shim-bss-only.elf': () => shim(0, [flat(0, Buffer.alloc(0), 6, 2 * PAGE + 1)]),
  'shim-linked-64k.elf': () => shim(0x10000, [flat(0x10000, code('s64', 2 * PAGE))]),
  'shim-unaligned.elf': () => shim(0x123, [flat(0x123, code('su', 5000), 5, 6000)]),
  'shim-gap.elf': () => shim(0, [flat(0, code('sg', PAGE)), flat(0x8000, noise('sg2', PAGE), 6)]),
  'shim-reversed.elf': () => shim(0x8000, [flat(0x8000, code('sr', PAGE)), flat(0, noise('sr2', PAGE), 6)]),
  'shim-big.elf': () => shim(0x20, [flat(0, code('sb', 70 * PAGE + 9), 7)]),
  'shim-emptyseg.elf': () => shim(0, [flat(0, code('se', PAGE)), flat(0x3000, Buffer.alloc(0), 6)]),
  'shim-note.elf': () => shim(0, [flat(0, code('sn', PAGE))], { notes: [note] }),
  'shim-entry-outside.elf': () => shim(0x7000, [flat(0, code('so', PAGE))]),
  'shim-entry-zero-filled.elf': () => shim(0x1800, [flat(0, code('sz', PAGE), 5, 3 * PAGE)]),
  'shim-holes-200.elf': () => withHoles(200),
  'shim-holes-245.elf': () => withHoles(245),
  'shim-holes-246.elf': () => withHoles(246),
  'shim-noload.elf': () => shim(0, []),
  'shim-aarch64.elf': () => shim(0, [flat(0, code('sa', PAGE))], { machine: MACHINE.aarch64 }),
  'shim-i386.elf': () => shim(0, [flat(0, code('si', PAGE))], { machine: MACHINE.i386, elfClass: 1 }),
  'shim-be.elf': () => shim(0, [flat(0, code('sbe', PAGE))], { byteOrder: 2 }),
  'shim-truncated.elf': () => shim(0x40, usual).subarray(0, 9000),
  'shim-phdr-cut.elf': () => shim(0x40, usual).subarray(0, 100),
  'shim-sharedpage.elf': () => shim(0, [flat(0, code('sh', 100)), flat(0x200, noise('sh2', 100), 6)]),
  'shim-overlap.elf': () => shim(0, [flat(0, code('sv', 2 * PAGE)), flat(PAGE, noise('sv2', PAGE), 6)]),
  'shim-filesz-gt-memsz.elf': () => shim(0, [flat(0, code('sf', 9000), 5, 5000)]),
  'shim-entry-overflow.elf': () => shim(LAST_PAGE, [flat(0, code('sx', PAGE))]),
  'shim-paddr-overflow.elf': () => shim(0, [{ ...flat(LAST_PAGE, code('sp', PAGE)), virtual: 0n }]),
  'shim-random.bin': () => noise('sq', 9000),
  'shim-empty.bin': () => Buffer.alloc(0),
  'shim-far.elf': () => shim(0, [{ ...flat(0x40000000, code('sfar', PAGE)), virtual: 0n }]),
};
