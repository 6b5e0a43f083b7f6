import {
  MP_FLOATING_POINTER_GPA,
  MP_FLOATING_POINTER_SIZE,
  MP_HEADER_SIZE,
  MP_LENGTH_OFFSET,
  MP_PROCESSOR_SIZE,
  MP_PROCESSOR_TYPE,
  MP_SIGNATURE,
} from '../loader/linux/mp-table';
import type { GuestPages } from './guest-pages';

/**
 * Takes the pointer to the image's MP table out of guest memory, for a guest that gets its VMM's ACPI.
 * @returns the table's number of processors, which as VP_COUNT leaves its fix-up nothing to do; undefined without table
 */
export function leaveOutMpTable(pages: GuestPages): number | undefined {
  const pointer = pages.read(MP_FLOATING_POINTER_GPA, MP_FLOATING_POINTER_SIZE);
  if (pointer === undefined || new TextDecoder().decode(pointer.subarray(0, 4)) !== MP_SIGNATURE) return undefined;
  const count = processorsAt(pages, new DataView(pointer.buffer).getUint32(4, true));
  if (count !== undefined) pages.write(MP_FLOATING_POINTER_GPA, new Uint8Array(MP_FLOATING_POINTER_SIZE));
  return count;
}

function processorsAt(pages: GuestPages, gpa: number): number | undefined {
  const header = pages.read(gpa, MP_HEADER_SIZE);
  if (header === undefined) return undefined;
  const length = new DataView(header.buffer).getUint16(MP_LENGTH_OFFSET, true);
  const table = pages.read(gpa, length);
  if (table === undefined) return undefined;
  let count = 0;
  while (
    MP_HEADER_SIZE + (count + 1) * MP_PROCESSOR_SIZE <= length &&
    table[MP_HEADER_SIZE + count * MP_PROCESSOR_SIZE] === MP_PROCESSOR_TYPE
  )
    count++;
  return count;
}
