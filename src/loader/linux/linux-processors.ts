import { IgvmError, unreachable } from '../../errors/igvm-error';
import { PAGE_SIZE } from '../../memory/page';
import { JUMP, X86Code } from '../../vp-context/x86-code';
import type { ImageImporter } from '../guest/importer';
import { MADT_CHECKSUM_OFFSET, MADT_FIRST_FLAGS_OFFSET, processorTables } from './acpi/processor-tables';
import { LINUX_MAP } from './linux-memory';
import {
  MP_CHECKSUM_OFFSET,
  MP_FIRST_FLAGS_OFFSET,
  MP_FLOATING_POINTER_GPA,
  MP_PROCESSOR_SIZE,
  mpConfigurationTable,
  mpFloatingPointer,
} from './mp-table';

/** Four pages at the end of low memory, which the e820 map must reserve. */
const { acpiTables: ACPI_TABLES, processorFixUp: FIX_UP, vpCount: VP_COUNT, mpTable: MP_TABLE } = LINUX_MAP;

/**
 * Tells Linux of `processorCount` processors where nobody gives it ACPI: ACPI tables, which kernels from 5.0 on find by the zero
 * page; an MP table in low memory for others; and code that runs before the kernel and switches off those that the VM, says its VMM,
 * doesn't have. Linux would wait ten seconds for each.
 * @param entrypoint of the kernel
 * @returns the entry point to start at instead
 * @throws IgvmError CONFIG_UNSUPPORTED when the table has no room for as many, LAYOUT_OVERLAP
 */
export function importProcessors(importer: ImageImporter, processorCount: number, entrypoint: bigint): bigint {
  const table = mpConfigurationTable(processorCount);
  const tableGpa = (MP_FLOATING_POINTER_GPA - table.length) & ~0xf;
  if (tableGpa < MP_TABLE.gpa) {
    const limit = processorCount - Math.ceil((MP_TABLE.gpa - tableGpa) / MP_PROCESSOR_SIZE);
    throw new IgvmError(
      'CONFIG_UNSUPPORTED',
      `processor_count is ${processorCount}, and an MP table has room for ${limit}: use fewer, or a VMM that supplies ACPI tables`,
      { jsonPath: ['image', 'linux', 'processor_count'] },
    );
  }
  const page = new Uint8Array(PAGE_SIZE);
  page.set(table, tableGpa - MP_TABLE.gpa);
  page.set(mpFloatingPointer(tableGpa), MP_FLOATING_POINTER_GPA - MP_TABLE.gpa);

  const acpi = processorTables(ACPI_TABLES.gpa, processorCount);
  if (acpi.bytes.length > ACPI_TABLES.size) unreachable(`ACPI tables of ${acpi.bytes.length} bytes`);
  importer.importPages(ACPI_TABLES.page, 1, 'linux-acpi-tables', 'exclusive', acpi.bytes);
  const fixUp = processorFixUp(processorCount, { tableGpa, madtGpa: acpi.madtGpa }, entrypoint);
  importer.importPages(FIX_UP.page, 1, 'linux-vp-count-fix-up', 'exclusive', fixUp);
  const area = importer.createParameterArea(VP_COUNT.page, 1, 'linux-vp-count');
  importer.importParameter(area, 0, 'vpCount');
  importer.importPages(MP_TABLE.page, 1, 'linux-mp-table', 'exclusive', page);
  return BigInt(FIX_UP.gpa);
}

/**
 * Clears the "enabled" flag of each processor with an index of VP_COUNT or above in both tables, keeping the checksums, and jumps to
 * the kernel. A VP_COUNT of 0, from a VMM that doesn't fill it in, counts as 1. Changes RAX, RCX, RDX and RDI only.
 */
function processorFixUp(
  processorCount: number,
  { tableGpa, madtGpa }: { tableGpa: number; madtGpa: number },
  entrypoint: bigint,
): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  const code = new X86Code(page, 0);
  code.withImmediate([0xb9], VP_COUNT.gpa); // mov ecx, VP_COUNT
  code.emit(0x8b, 0x01); // mov eax, [rcx]
  code.emit(0x83, 0xf8, 0x01); // cmp eax, 1: carry when 0
  code.emit(0x83, 0xd0, 0x00); // adc eax, 0
  code.withImmediate([0xb9], processorCount); // mov ecx, processors in the table
  code.withImmediate([0xba], tableGpa); // mov edx, table
  const next = code.offset;
  code.emit(0x39, 0xc1); // cmp ecx, eax
  const done = code.jumpAhead(JUMP.ifNotAbove);
  code.emit(0xff, 0xc9); // dec ecx
  code.emit(0x6b, 0xf9, MP_PROCESSOR_SIZE); // imul edi, ecx, size of an entry
  code.emit(0x80, 0x64, 0x3a, MP_FIRST_FLAGS_OFFSET, 0xfe); // and byte [rdx + rdi + flags], ~enabled
  code.emit(0xfe, 0x42, MP_CHECKSUM_OFFSET); // inc byte [rdx + checksum]
  // Both with an absolute address, which only a SIB byte without base can have in 64-bit mode.
  code.withImmediate([0x80, 0x24, 0xcd], madtGpa + MADT_FIRST_FLAGS_OFFSET).emit(0xfe); // and byte [8 * rcx + flags], ~enabled
  code.withImmediate([0xfe, 0x04, 0x25], madtGpa + MADT_CHECKSUM_OFFSET); // inc byte [checksum]
  code.jumpBack(JUMP.always, next);
  code.land(done);
  code.emit(0x31, 0xc9, 0x31, 0xd2, 0x31, 0xff); // xor ecx, ecx; xor edx, edx; xor edi, edi
  code.withImmediate([0x48, 0xb8], Number(entrypoint & 0xffff_ffffn)); // mov rax, entrypoint
  code.withImmediate([], Number(entrypoint >> 32n));
  code.emit(0xff, 0xe0); // jmp rax
  return page.subarray(0, code.offset);
}
