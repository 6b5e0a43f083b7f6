import { IgvmError } from '../../errors/igvm-error';
import type { ByteSource } from '../../memory/byte-source';

/** UEFI stores the first three of a GUID's five parts with the lowest byte first (UEFI specification, appendix A). */
const REVERSED_PARTS = 3;

/** A GUID as UEFI stores it, 16 bytes. @param text in the usual form, `dc886566-984a-…` */
export function guidBytes(text: string): Uint8Array {
  const bytes = text.split('-').flatMap((part, index) => {
    const pairs = Array.from(part.matchAll(/../g), ([pair]) => Number.parseInt(pair, 16));
    return index < REVERSED_PARTS ? pairs.reverse() : pairs;
  });
  return Uint8Array.from(bytes);
}

/** {@link guidBytes} in hexadecimal, to compare with. */
export const hexOfGuid = (text: string): string =>
  Array.from(guidBytes(text), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** The purpose of a memory range in OVMF's table. */
export type OvmfRegionKind =
  | 'sevMemory'
  | 'sevSecrets'
  | 'sevCpuid'
  | 'sevCallingArea'
  | 'sevKernelHashes'
  | 'parameterArea'
  | 'memoryMap'
  | 'vpCount'
  | 'hobArea';

/** A range that OVMF's table names. */
export interface OvmfRegion {
  kind: OvmfRegionKind;
  /**
   * GPA in bytes; for `memoryMap` and `vpCount` the byte offset in the parameter area. Below 2^32, of any alignment.
   */
  base: number;
  /** Bytes, above 0 and below 2^32. */
  size: number;
}

/** The table ends this many bytes before the end of the firmware, where the reset vector is. */
const BEHIND_TABLE = 0x20;
/** u16 size and GUID, which follow the entry's data. The size includes both. */
const ENTRY_TAIL = 18;
const FOOTER = hexOfGuid('96b582de-1fb2-45f7-baea-a366c55a082d');

/** Entries that hold the place of a list of regions, and the kinds of region in that list (edk2: OvmfPkg/ResetVector). */
const LISTS: Readonly<Record<string, Readonly<Record<number, OvmfRegionKind>>>> = {
  [hexOfGuid('dc886566-984a-4798-a75e-5585a7bf67cc')]: {
    1: 'sevMemory',
    2: 'sevSecrets',
    3: 'sevCpuid',
    4: 'sevCallingArea',
    0x10: 'sevKernelHashes',
  },
  [hexOfGuid('784fa70e-3176-4677-8a20-04b68699e374')]: {
    0x100: 'parameterArea',
    0x101: 'memoryMap',
    0x102: 'vpCount',
    0x200: 'hobArea',
  },
};

/** Magic, length, version and count. Only the count is read. */
const LIST_HEADER = { size: 16, count: 12 };
/** u32 base, u32 size, u32 kind. */
const LIST_ENTRY = 12;
/** Real firmware has about 20. The limit bounds the time that a hostile file can cost. */
const MOST_ENTRIES = 100_000;

/**
 * The regions in the metadata at the end of an OVMF image, in igvm-wrap's order: the table from its end, each list from
 * its start. Damage ends the reading of its list or of the table, as in igvm-wrap 0.2.6 (src/ovmfmeta.rs), so that both
 * find the same regions.
 * @returns undefined when the file can't have a table at all; an empty list when OVMF's table is not at its place
 * @throws IgvmError FIRMWARE_INVALID for more than 100000 entries, and what the source throws
 */
export function readOvmfTable(firmware: ByteSource): OvmfRegion[] | undefined {
  const end = firmware.size - BEHIND_TABLE;
  if (end < ENTRY_TAIL) return undefined;
  const footer = readView(firmware, end - ENTRY_TAIL, ENTRY_TAIL);
  const footerSize = footer.getUint16(0, true);
  if (footerSize < ENTRY_TAIL || footerSize > end) return undefined;
  if (guidAt(footer, 2) !== FOOTER) return [];
  const table = readView(firmware, end - footerSize, footerSize - ENTRY_TAIL);
  const regions: OvmfRegion[] = [];
  let budget = MOST_ENTRIES;
  let left = table.byteLength;
  while (left >= ENTRY_TAIL) {
    const size = table.getUint16(left - ENTRY_TAIL, true);
    if (size < ENTRY_TAIL || size > left) break;
    const kinds = LISTS[guidAt(table, left - 16)];
    if (kinds !== undefined && size >= ENTRY_TAIL + 4) {
      budget -= readList(firmware, table.getUint32(left - size, true), kinds, budget, regions);
    }
    left -= size;
  }
  return regions;
}

/** @returns how many entries were read */
function readList(
  firmware: ByteSource,
  distance: number,
  kinds: Readonly<Record<number, OvmfRegionKind>>,
  most: number,
  into: OvmfRegion[],
): number {
  if (distance > firmware.size || distance < LIST_HEADER.size) return 0;
  const start = firmware.size - distance;
  const declared = readView(firmware, start, LIST_HEADER.size).getUint32(LIST_HEADER.count, true);
  const count = Math.min(declared, Math.floor((distance - LIST_HEADER.size) / LIST_ENTRY));
  if (count > most) {
    throw new IgvmError('FIRMWARE_INVALID', `OVMF's metadata has more than ${MOST_ENTRIES} entries`, { offset: start });
  }
  const entries = readView(firmware, start + LIST_HEADER.size, count * LIST_ENTRY);
  for (let at = 0; at < entries.byteLength; at += LIST_ENTRY) {
    const size = entries.getUint32(at + 4, true);
    const kind = kinds[entries.getUint32(at + 8, true)];
    if (size > 0 && kind !== undefined) into.push({ kind, base: entries.getUint32(at, true), size });
  }
  return count;
}

function readView(source: ByteSource, offset: number, size: number): DataView {
  const bytes = new Uint8Array(size);
  source.read(offset, bytes);
  return new DataView(bytes.buffer);
}

function guidAt(view: DataView, at: number): string {
  let hex = '';
  for (let i = 0; i < 16; i++)
    hex += view
      .getUint8(at + i)
      .toString(16)
      .padStart(2, '0');
  return hex;
}
