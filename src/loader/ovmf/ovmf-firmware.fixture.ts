import { StructWriter } from '../../memory/struct-writer';
import { guidBytes } from '../formats/ovmf-table';

/** Where the firmware of {@link ovmfFirmware} looks for the list of programs. */
export const HOB_AREA = 0x80_9000;

const IGVM_LIST = guidBytes('784fa70e-3176-4677-8a20-04b68699e374');
const FOOTER = guidBytes('96b582de-1fb2-45f7-baea-a366c55a082d');
/** Behind the table: the code of the reset vector. */
const RESET_VECTOR = 0x20;

/** 64 KiB of firmware whose metadata names a parameter area with a memory map and a count of processors, and a HOB area. */
export function ovmfFirmware(): Uint8Array {
  const list = new StructWriter().ascii('IGVM').u32(0, 1, 4);
  list.u32(0x80_8000, 0x1000, 0x100).u32(0, 0xff0, 0x101).u32(0xff0, 4, 0x102).u32(HOB_AREA, 0x1000, 0x200);
  const metadata = list.finish();
  const table = 4 + 2 + 16;
  const distance = RESET_VECTOR + 2 + 16 + table + metadata.length;
  const end = new StructWriter().raw(metadata).u32(distance).u16(table).raw(IGVM_LIST);
  const tail = end
    .u16(table + 2 + 16)
    .raw(FOOTER)
    .zeros(RESET_VECTOR)
    .finish();
  const firmware = new Uint8Array(0x10000).map((_, at) => at >> 8);
  firmware.set(tail, firmware.length - tail.length);
  return firmware;
}
