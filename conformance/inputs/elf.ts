import { PAGE, struct, zeros } from './bytes';

export const MACHINE = { i386: 3, x64: 62, aarch64: 183 } as const;

const PROGRAM_HEADER_SIZE = 56;
const FILE_HEADER_SIZE = 64;
const PT_LOAD = 1;
const PT_NOTE = 4;

export interface Segment {
  physical: number;
  virtual: bigint;
  data: Uint8Array;
  /** Bytes in memory. Default: as many as in the file. */
  memorySize?: number;
  /** PF_R 4, PF_W 2, PF_X 1. */
  flags: number;
}

export interface ElfOptions {
  machine?: number;
  notes?: readonly Uint8Array[];
  /** 2 executable, 3 shared object (position independent). */
  type?: number;
  /** 1 little-endian, 2 big-endian: in the identification only. */
  byteOrder?: number;
  /** 1 ELF32, 2 ELF64: in the identification only. */
  elfClass?: number;
}

/** An ELF64 file whose segments lie at offsets congruent to their physical addresses, as linkers place them. */
export function elf(entry: number, segments: readonly Segment[], options: ElfOptions = {}): Buffer {
  const { machine = MACHINE.x64, notes = [], type = 2, byteOrder = 1, elfClass = 2 } = options;
  const headerCount = segments.length + notes.length;
  const contents: Uint8Array[] = [];
  let offset = FILE_HEADER_SIZE + PROGRAM_HEADER_SIZE * headerCount;
  const place = (bytes: Uint8Array, padding: number): number => {
    contents.push(zeros(padding), bytes);
    const at = offset + padding;
    offset = at + bytes.length;
    return at;
  };

  const programHeaders = [
    ...segments.map(({ physical, virtual, data, memorySize = data.length, flags }) => {
      const at = place(data, ((physical % PAGE) - (offset % PAGE) + PAGE) % PAGE);
      const addresses = Buffer.alloc(16);
      addresses.writeBigUInt64LE(virtual, 0);
      addresses.writeBigUInt64LE(BigInt(physical), 8);
      return struct(
        ['u32', PT_LOAD],
        ['u32', flags],
        ['u64', at],
        addresses,
        ['u64', data.length],
        ['u64', memorySize],
        ['u64', PAGE],
      );
    }),
    ...notes.map((note) =>
      struct(
        ['u32', PT_NOTE],
        ['u32', 4],
        ['u64', place(note, 0)],
        zeros(16),
        ['u64', note.length],
        ['u64', note.length],
        ['u64', 4],
      ),
    ),
  ];
  const fileHeader = struct(
    Buffer.from('\x7fELF', 'latin1'),
    ['u8', elfClass],
    ['u8', byteOrder],
    ['u8', 1],
    zeros(9),
    ['u16', type],
    ['u16', machine],
    ['u32', 1],
    ['u64', entry],
    ['u64', FILE_HEADER_SIZE],
    ['u64', 0],
    ['u32', 0],
    ['u16', FILE_HEADER_SIZE],
    ['u16', PROGRAM_HEADER_SIZE],
    ['u16', headerCount],
    ['u16', 64],
    ['u16', 0],
    ['u16', 0],
  );
  return Buffer.concat([fileHeader, ...programHeaders, ...contents]);
}
