import { StructWriter } from '../../memory/struct-writer';
import { guidBytes } from '../formats/ovmf-table';

/** Where the firmware of {@link ovmfFirmware} looks for the list of programs. */
export const HOB_AREA = 0x80_9000;

/** GPA, size and kind of a region, as in the metadata; for some kinds an offset in place of the GPA. */
export type MetadataRegion = readonly [base: number, size: number, kind: number];

/** A parameter area with a memory map and a count of processors, and a HOB area. */
export const IGVM_REGIONS: readonly MetadataRegion[] = [
  [0x80_8000, 0x1000, 0x100],
  [0, 0xff0, 0x101],
  [0xff0, 4, 0x102],
  [HOB_AREA, 0x1000, 0x200],
];

/** The regions for SEV-SNP: memory, including the areas of {@link IGVM_REGIONS}, and pages for secrets and CPUID. */
export const SEV_REGIONS: readonly MetadataRegion[] = [
  [0x80_0000, 0xd000, 1],
  [0x80_d000, 0x1000, 2],
  [0x80_e000, 0x1000, 3],
  [0x80_f000, 0x1000, 4],
  [0x81_0000, 0x1000, 0x10],
];

const LISTS = [
  { magic: 'IGVM', guid: guidBytes('784fa70e-3176-4677-8a20-04b68699e374') },
  { magic: 'ASEV', guid: guidBytes('dc886566-984a-4798-a75e-5585a7bf67cc') },
] as const;
const FOOTER = guidBytes('96b582de-1fb2-45f7-baea-a366c55a082d');
/** After the table: the code of the reset vector. */
const RESET_VECTOR = 0x20;
const ENTRY = 4 + 2 + 16;

export interface FirmwareOptions {
  /** Bytes; a multiple of 4096. Default: 64 KiB. */
  size?: number;
  igvm?: readonly MetadataRegion[];
  /** Default: none. */
  sev?: readonly MetadataRegion[];
}

/** Firmware with nothing but the metadata at its end; all pages differ. */
export function ovmfFirmware({ size = 0x10000, igvm = IGVM_REGIONS, sev = [] }: FirmwareOptions = {}): Uint8Array {
  const regions = [igvm, sev].map((list, index) => ({ ...LISTS[index]!, list })).filter(({ list }) => list.length > 0);
  const metadata = new StructWriter();
  const starts = regions.map(({ magic, list }) => {
    const start = metadata.length;
    metadata.ascii(magic).u32(16 + list.length * 12, 1, list.length);
    for (const region of list) metadata.u32(...region);
    return start;
  });
  const table = new StructWriter();
  const behind = regions.length * ENTRY + 2 + 16 + RESET_VECTOR;
  for (const [index, { guid }] of regions.entries()) {
    table
      .u32(metadata.length - starts[index]! + behind)
      .u16(ENTRY)
      .raw(guid);
  }
  table
    .u16(table.length + 2 + 16)
    .raw(FOOTER)
    .zeros(RESET_VECTOR);
  const tail = Buffer.concat([metadata.finish(), table.finish()]);
  const firmware = new Uint8Array(size).map((_, at) => (at >> 8) + (at & 1) * (at >> 16));
  firmware.set(tail, firmware.length - tail.length);
  return firmware;
}

/** A variable store of `size` bytes with the header of its volume (UEFI PI specification, volume 3), which is its first 16 KiB or all of it. */
export function variableStore(size = 0x4000): Uint8Array {
  const store = new Uint8Array(size).fill(0xff);
  const header = new StructWriter()
    .zeros(16)
    .raw(guidBytes('fff12b8d-7696-4c8b-a985-2747075b4f50'))
    .u64(size)
    .ascii('_FVH');
  store.set(header.finish());
  return store;
}

/** An EFI program (PE32+) with one section of the given content. */
export function efiProgram(content: Uint8Array | string = 'nothing'): Uint8Array {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  const headers = 0x200;
  const pe = new StructWriter().ascii('MZ').zeros(58).u32(64).ascii('PE\0\0');
  // COFF header: x64, one section, 240 bytes of optional header.
  pe.u16(0x8664, 1).u32(0, 0, 0).u16(240, 0x22);
  const start = pe.length;
  pe.u16(0x20b)
    .zeros(58)
    .u32(headers)
    .zeros(108 - 64)
    .u32(16)
    .zeros(16 * 8);
  if (pe.length - start !== 240) throw new Error(`an optional header of ${pe.length - start} bytes`);
  pe.ascii('.text\0\0\0').u32(bytes.length, 0x1000, bytes.length, headers).zeros(16);
  pe.zeros(headers - pe.length).raw(bytes);
  return pe.finish();
}
