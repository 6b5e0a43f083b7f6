import { hex } from '../errors/printable';
import { IgvmError } from '../errors/igvm-error';
import type { IgvmSink } from '../igvm/file-data';
import { PAGE_SIZE } from '../memory/page';
import type { GuestPages, PageRange } from './guest-pages';
import type { NativeMemory } from './native-guest';

/** A NATIVE guest that starts like a PC: firmware that ends at 4 GiB, such as OVMF, and the initial content of memory. */
export interface FirmwareGuest {
  /** Ends at 4 GiB. */
  firmware: readonly PageRange[];
  /** The size of the firmware in bytes. */
  firmwareSize: number;
  /** The content of memory before it starts: ascending ranges that don't touch. Pages without content are left out. */
  ram: readonly (readonly PageRange[])[];
  /** Whether the image's registers differ from those of a processor after a reset. */
  hasOwnRegisters: boolean;
  /** The memory that the guest needs from GPA 0 on, in bytes. */
  memoryNeeded: number;
}

const FOUR_GIB = 2 ** 32;
/** Where a processor starts after a reset. */
const RESET_VECTOR = 0xffff_fff0n;
/** QEMU itself copies the end of its firmware to below 1 MiB. Video memory is below that. */
const LOW_COPY = { start: 0xe_0000, end: 0x10_0000 };
const VIDEO_MEMORY = 0xa_0000;
/** Interrupt controllers are below. */
const LOWEST_FIRMWARE = 0xff00_0000;
/** The size of QEMU's firmware must be a multiple of this. */
const FIRMWARE_UNIT = 0x1_0000;
/** Each range needs a file and an option of QEMU. */
const MOST_PLACES = 64;
const CHUNK = 2 ** 20;

/** Whether a guest starts at the reset vector: firmware, not a kernel. */
export const startsAtResetVector = ({ pages, context }: Pick<NativeMemory, 'pages' | 'context'>): boolean =>
  pages.has(FOUR_GIB - PAGE_SIZE, PAGE_SIZE) && (context === undefined || context.rip === RESET_VECTOR);

/**
 * Divides an image into the parts that a VMM without a loader for IGVM files has to put into its ROM and into memory.
 * @param memory a guest that {@link startsAtResetVector}
 * @throws IgvmError BOOT_LAYOUT for pages that such a VM can't contain
 */
export function firmwareGuest({ pages, context, memoryNeeded }: NativeMemory): FirmwareGuest {
  const ranges = pages.within(0, Infinity);
  let start = FOUR_GIB;
  let first = ranges.length;
  for (let at = ranges.length - 1; at >= 0 && ranges[at]!.gpa + ranges[at]!.size >= start; at--) {
    if (ranges[at]!.gpa >= FOUR_GIB) throw misplaced(ranges[at]!, 'above 4 GiB');
    start = ranges[at]!.gpa;
    first = at;
  }
  if (start < LOWEST_FIRMWARE) {
    throw misplaced({ gpa: start, size: FOUR_GIB - start }, 'where a PC has its interrupt controllers');
  }
  const ram: PageRange[][] = [];
  for (const range of ranges.slice(0, first)) {
    if (range.content.size === 0) continue;
    if (range.gpa < LOW_COPY.end && range.gpa + range.size > VIDEO_MEMORY) {
      checkLowCopy(pages, range, start);
      continue;
    }
    const last = ram.at(-1)?.at(-1);
    if (last !== undefined && last.gpa + last.size === range.gpa) ram.at(-1)!.push(range);
    else ram.push([range]);
  }
  if (ram.length > MOST_PLACES) {
    throw new IgvmError('BOOT_LAYOUT', `the image's pages lie in ${ram.length} separate places, too many for QEMU`);
  }
  const end = ram.at(-1)?.at(-1);
  return {
    firmware: ranges.slice(first),
    firmwareSize: FOUR_GIB - start,
    ram,
    hasOwnRegisters: context !== undefined,
    memoryNeeded: Math.max(memoryNeeded, end === undefined ? 0 : end.gpa + end.size),
  };
}

/** Checks that the image has the same content below 1 MiB that QEMU puts there. */
function checkLowCopy(pages: GuestPages, range: PageRange, firmwareStart: number): void {
  const original = range.gpa + FOUR_GIB - LOW_COPY.end;
  const inPlace = range.gpa >= LOW_COPY.start && range.gpa + range.size <= LOW_COPY.end && original >= firmwareStart;
  const isSame = inPlace && Buffer.compare(pages.read(range.gpa, range.size)!, pages.read(original, range.size)!) === 0;
  if (!isSame) throw misplaced(range, 'where QEMU has video memory and the end of the firmware');
}

/** The firmware in the form that `-bios` accepts: a multiple of 64 KiB, with leading zeros. */
export function writeFirmware({ firmware, firmwareSize }: FirmwareGuest, sink: IgvmSink): Promise<void> {
  const size = Math.ceil(firmwareSize / FIRMWARE_UNIT) * FIRMWARE_UNIT;
  return writeRanges(firmware, sink, FOUR_GIB - size);
}

/** The content of adjacent pages from `start` on. */
export async function writeRanges(ranges: readonly PageRange[], sink: IgvmSink, start: number): Promise<void> {
  const buffer = new Uint8Array(CHUNK);
  let written = start;
  const zeros = async (end: number): Promise<void> => {
    buffer.fill(0);
    for (; written < end; written += Math.min(CHUNK, end - written)) {
      await sink.write(written - start, buffer.subarray(0, Math.min(CHUNK, end - written)));
    }
  };
  for (const { gpa, size, content } of ranges) {
    await zeros(gpa);
    for (let done = 0; done < content.size; done += CHUNK) {
      const chunk = buffer.subarray(0, Math.min(CHUNK, content.size - done));
      content.read(done, chunk);
      await sink.write(gpa + done - start, chunk);
    }
    written = gpa + content.size;
    await zeros(gpa + size);
  }
}

const misplaced = ({ gpa, size }: Pick<PageRange, 'gpa' | 'size'>, where: string): IgvmError =>
  new IgvmError(
    'BOOT_LAYOUT',
    `the image has pages ${where}, at ${hex(gpa)}: it boots where QEMU loads the file itself (way igvm)`,
    {
      gpa: { start: gpa, end: gpa + size },
    },
  );
