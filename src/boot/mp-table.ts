import type { GuestPages } from './guest-pages';

/** Where Linux looks for an MP floating pointer, and nx-igvm puts it (src/loader/linux-processors.ts). */
const FLOATING_POINTER_GPA = 0x9fc00;
const FLOATING_POINTER_SIZE = 16;
const SIGNATURE = '_MP_';

/** Intel MP 1.4, chapter 4: entries behind a header of 44 bytes, those of processors (type 0) first. */
const HEADER_SIZE = 44;
const LENGTH_OFFSET = 4;
const PROCESSOR_TYPE = 0;
const PROCESSOR_SIZE = 20;

/**
 * Takes the pointer to the image's MP table out of guest memory, for a guest that gets ACPI.
 * @returns the table's number of processors, which as VP_COUNT leaves its fix-up nothing to do; undefined without table
 */
export function leaveOutMpTable(pages: GuestPages): number | undefined {
  const pointer = pages.read(FLOATING_POINTER_GPA, FLOATING_POINTER_SIZE);
  if (pointer === undefined || new TextDecoder().decode(pointer.subarray(0, 4)) !== SIGNATURE) return undefined;
  const count = processorsAt(pages, new DataView(pointer.buffer).getUint32(4, true));
  if (count !== undefined) pages.write(FLOATING_POINTER_GPA, new Uint8Array(FLOATING_POINTER_SIZE));
  return count;
}

function processorsAt(pages: GuestPages, gpa: number): number | undefined {
  const header = pages.read(gpa, HEADER_SIZE);
  if (header === undefined) return undefined;
  const length = new DataView(header.buffer).getUint16(LENGTH_OFFSET, true);
  const table = pages.read(gpa, length);
  if (table === undefined) return undefined;
  let count = 0;
  while (
    HEADER_SIZE + (count + 1) * PROCESSOR_SIZE <= length &&
    table[HEADER_SIZE + count * PROCESSOR_SIZE] === PROCESSOR_TYPE
  )
    count++;
  return count;
}
