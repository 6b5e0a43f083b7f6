import fc from 'fast-check';
import { arm64ImageFile, bzImageFile } from '../../src/loader/formats/kernel.fixture';
import { noise, PAGE } from '../inputs/bytes';
import { elf, MACHINE } from '../inputs/elf';

/** A segment in memory, in bytes. */
export interface RandomSegment {
  address: number;
  size: number;
  memorySize: number;
}

/** The description of a file, short enough for the message of a failed test. */
export type RandomFile =
  | { kind: 'elf'; machine: 'x64' | 'aarch64'; entry: number; segments: RandomSegment[] }
  | {
      kind: 'bzImage';
      size: number;
      setupSectors: number;
      preferredAddress: number;
      initSize: number;
      knowsSize: boolean;
    }
  | { kind: 'Image'; size: number; textOffset: number; moreMemory: number; knowsSize: boolean }
  | { kind: 'initrd'; size: number; zeroPages: number[] };

const MIB = 2 ** 20;

/** Sizes, some of which are whole pages or close to whole pages. */
const size = (max: number): fc.Arbitrary<number> =>
  fc.oneof(
    fc.integer({ min: 1, max }),
    fc
      .integer({ min: 1, max: Math.floor(max / PAGE) })
      .chain((pages) => fc.constantFrom(-1, 0, 1).map((more) => pages * PAGE + more)),
  );

/** Consecutive segments from `start` (bytes) on, none of which share a page. */
const segments = (start: number): fc.Arbitrary<RandomSegment[]> =>
  fc
    .array(
      fc.record({
        gap: fc.oneof(fc.constant(0), fc.nat(40)),
        offset: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(PAGE - 1) }),
        size: fc.oneof({ weight: 5, arbitrary: size(60_000) }, { weight: 1, arbitrary: fc.constant(0) }),
        more: fc.oneof(fc.constant(0), size(60_000)),
      }),
      { minLength: 1, maxLength: 6 },
    )
    .map((parts) => {
      let end = start;
      return parts.map(({ gap, offset, size: fileSize, more }) => {
        const address = Math.ceil(end / PAGE) * PAGE + gap * PAGE + offset;
        const memorySize = Math.max(1, fileSize + more);
        end = address + memorySize;
        return { address, size: fileSize, memorySize };
      });
    });

/** An ELF file with an entry point in one of its segments and program headers in any order. */
const elfFile = (machine: 'x64' | 'aarch64', start: fc.Arbitrary<number>): fc.Arbitrary<RandomFile> =>
  start
    .chain(segments)
    .chain((list) =>
      fc.record({
        segments: fc.shuffledSubarray(list, { minLength: list.length }),
        inside: fc.integer({ min: 0, max: list.length - 1 }).chain((index) => {
          const { address, memorySize } = list[index]!;
          return fc.integer({ min: address, max: address + memorySize - 1 });
        }),
      }),
    )
    .map(({ segments: shuffled, inside }) => ({ kind: 'elf', machine, entry: inside, segments: shuffled }));

const highMemory = fc.integer({ min: 1, max: 24 }).map((mebibytes) => mebibytes * MIB);

export const elfKernel: fc.Arbitrary<RandomFile> = elfFile('x64', highMemory);

export const bzImageKernel: fc.Arbitrary<RandomFile> = fc.record({
  kind: fc.constant('bzImage' as const),
  // The 64-bit entry point is 512 bytes into the code.
  size: size(300_000).map((bytes) => bytes + 1024),
  setupSectors: fc.constantFrom(0, 1, 4, 27, 64),
  preferredAddress: highMemory,
  initSize: size(8 * MIB),
  knowsSize: fc.boolean(),
});

export const arm64Kernel: fc.Arbitrary<RandomFile> = fc.record({
  kind: fc.constant('Image' as const),
  size: size(200_000).map((bytes) => bytes + 64),
  textOffset: fc.constantFrom(0, 0x80000),
  moreMemory: fc.nat(100_000),
  knowsSize: fc.boolean(),
});

export const randomInitrd: fc.Arbitrary<RandomFile> = size(200_000).chain((bytes) =>
  fc.record({
    kind: fc.constant('initrd' as const),
    size: fc.constant(bytes),
    zeroPages: fc.array(fc.nat(Math.floor(bytes / PAGE)), { maxLength: 5 }),
  }),
);

/** A boot shim is linked at 0 and may be moved. */
export const bootShim = (machine: 'x64' | 'aarch64'): fc.Arbitrary<RandomFile> => elfFile(machine, fc.constant(0));

/** The bytes of all files. Hashing new ones for each file would take longer than building the image. */
let pool: Buffer | undefined;

/** Bytes that depend on a number, as many as the largest file has. */
function noiseFrom(start: number, length: number): Buffer {
  pool ??= noise('pool', 2 * MIB);
  return Buffer.from(pool.subarray(start % MIB, (start % MIB) + length));
}

/** The bytes of a segment in the file. */
export const segmentBytes = ({ address, size: bytes }: RandomSegment): Buffer =>
  noiseFrom(Math.floor(address / 8), bytes);

export function fileBytes(file: RandomFile): Uint8Array {
  switch (file.kind) {
    case 'elf':
      return elf(
        file.entry,
        file.segments.map((segment) => ({
          physical: segment.address,
          virtual: BigInt(segment.address),
          data: segmentBytes(segment),
          memorySize: segment.memorySize,
          flags: 5,
        })),
        { machine: MACHINE[file.machine] },
      );
    case 'bzImage':
      return bzImageFile(noiseFrom(file.initSize, file.size), {
        setup_sects: file.setupSectors,
        ...(file.knowsSize ? {} : { syssize: 0 }),
        pref_address: BigInt(file.preferredAddress),
        init_size: file.initSize,
      });
    case 'Image':
      return arm64ImageFile(file.size, {
        textOffset: BigInt(file.textOffset),
        imageSize: file.knowsSize ? BigInt(file.size + file.moreMemory) : 0n,
      });
    case 'initrd': {
      const bytes = noiseFrom(file.size, file.size);
      for (const page of file.zeroPages) bytes.subarray(page * PAGE, (page + 1) * PAGE).fill(0);
      return bytes;
    }
  }
}
