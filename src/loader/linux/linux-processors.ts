import { IgvmError, unreachable } from '../../errors/igvm-error';
import { PAGE_SIZE } from '../../memory/page';
import { StructWriter } from '../../memory/struct-writer';
import { JUMP, X86Code } from '../../vp-context/x86-code';
import type { ImageImporter } from '../guest/importer';
import { IO_APIC_BASE, LOCAL_APIC_BASE, type AcpiOem, acpiTable, AcpiTableSet } from './acpi/tables';
import { LINUX_MAP } from './linux-direct';

/** Four pages at the end of low memory, which the e820 map must reserve. */
const { acpiTables: ACPI_TABLES, processorFixUp: FIX_UP, vpCount: VP_COUNT, mpTable: MP_TABLE } = LINUX_MAP;

/**
 * Describes `processorCount` processors to Linux if its VMM supplies no ACPI: in ACPI tables, which kernels from 5.0 on
 * find through the zero page, and in an MP table in low memory for older kernels. Code that runs before the kernel
 * disables the processors that the VM doesn't have according to its VMM; Linux would wait ten seconds for each.
 * @param entrypoint of the kernel
 * @returns the entry point to start at instead
 * @throws IgvmError CONFIG_UNSUPPORTED when there are too many for the table, LAYOUT_OVERLAP
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
  // Both use an absolute address, which in 64-bit mode needs a SIB byte without base.
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

/** Fields of MP 1.4 structures (Intel MultiProcessor Specification 1.4, chapter 4). */
const ENTRY = { processor: 0, bus: 1, ioApic: 2, ioInterrupt: 3, localInterrupt: 4 } as const;
const INTERRUPT = { vectored: 0, nmi: 1, extInt: 3 } as const;
const PROCESSOR_ENABLED = 1;
const PROCESSOR_IS_BSP = 2;
const APIC_VERSION = 0x14;
/** Version of the I/O APIC that PCs emulate. */
const IO_APIC_VERSION = 0x11;
/** Family 6, as in all 64-bit processors; Linux reads only the features: FPU and APIC on chip. */
const CPU_SIGNATURE = 0x600;
const CPU_FEATURES = 0x201;
const ALL_LOCAL_APICS = 255;

/** Where Linux looks for the floating pointer in a PC without EBDA: the last KiB of 640 KiB. GPA. */
export const MP_FLOATING_POINTER_GPA = 0x9fc00;
export const MP_FLOATING_POINTER_SIZE = 16;
export const MP_SIGNATURE = '_MP_';

/** The configuration table: a header, then entries, those of processors first. Bytes. */
export const MP_HEADER_SIZE = 44;
export const MP_LENGTH_OFFSET = 4;
export const MP_PROCESSOR_SIZE = 20;
export const MP_PROCESSOR_TYPE = ENTRY.processor;

/** Offsets for the fix-up of the table: the checksum, and the flags of the first processor entry. */
const MP_CHECKSUM_OFFSET = 7;
const MP_FIRST_FLAGS_OFFSET = MP_HEADER_SIZE + 3;

/** Legacy interrupts. QEMU and KVM wire the timer, 0, to the I/O APIC's pin 2; 2 is the PIC's cascade and has no pin. */
const ISA_INTERRUPTS = 16;
const TIMER = 0;
const TIMER_PIN = 2;

/**
 * An MP configuration table for processors with the APIC IDs 0 to `processorCount` - 1, the first of which boots, one
 * I/O APIC and the legacy interrupts. For guests whose VMM supplies no ACPI.
 */
export function mpConfigurationTable(processorCount: number): Uint8Array {
  const ioApicId = processorCount;
  const entries = new StructWriter();
  let count = 0;
  const entry = (type: number): StructWriter => {
    count++;
    return entries.u8(type);
  };
  for (let id = 0; id < processorCount; id++) {
    const flags = PROCESSOR_ENABLED | (id === 0 ? PROCESSOR_IS_BSP : 0);
    entry(ENTRY.processor).u8(id, APIC_VERSION, flags).u32(CPU_SIGNATURE, CPU_FEATURES).zeros(8);
  }
  entry(ENTRY.bus).u8(0).ascii('ISA   ');
  entry(ENTRY.ioApic).u8(ioApicId, IO_APIC_VERSION, 1).u32(IO_APIC_BASE);
  for (let irq = 0; irq < ISA_INTERRUPTS; irq++) {
    const pin = irq === TIMER ? TIMER_PIN : irq;
    if (irq !== TIMER && pin === TIMER_PIN) continue;
    entry(ENTRY.ioInterrupt).u8(INTERRUPT.vectored).u16(0).u8(0, irq, ioApicId, pin);
  }
  entry(ENTRY.localInterrupt).u8(INTERRUPT.extInt).u16(0).u8(0, 0, 0, 0);
  entry(ENTRY.localInterrupt).u8(INTERRUPT.nmi).u16(0).u8(0, 0, ALL_LOCAL_APICS, 1);

  const table = new StructWriter()
    .ascii('PCMP')
    .u16(MP_HEADER_SIZE + entries.length)
    .u8(4, 0)
    .ascii('IGVM    ')
    .ascii('NATIVE      ')
    .u32(0)
    .u16(0, count)
    .u32(LOCAL_APIC_BASE)
    .u16(0)
    .u8(0, 0)
    .raw(entries.finish())
    .finish();
  return withChecksum(table, MP_CHECKSUM_OFFSET);
}

/** The structure by which a kernel finds the table at `tableGpa`: in the last KiB of low memory, at a multiple of 16. */
export function mpFloatingPointer(tableGpa: number): Uint8Array {
  const pointer = new StructWriter().ascii(MP_SIGNATURE).u32(tableGpa).u8(1, 4, 0).zeros(5).finish();
  return withChecksum(pointer, 10);
}

/** Sets the byte at `offset` so that all bytes add up to 0. */
function withChecksum(bytes: Uint8Array, offset: number): Uint8Array {
  bytes[offset] = 0;
  bytes[offset] = -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
  return bytes;
}

const OEM: AcpiOem = { id: 'IGVM  ', tableId: 'NATIVE  ', revision: 1, creatorId: 'IGVM', creatorRevision: 1 };

/** Types of interrupt controller structures (ACPI specification, table 5.21), and their sizes in bytes. */
const TYPE = { LOCAL_APIC: 0, IO_APIC: 1, SOURCE_OVERRIDE: 2, LOCAL_NMI: 4 } as const;
const LOCAL_APIC_SIZE = 8;

const PCAT_COMPATIBLE = 1;
const ENABLED = 1;
const ALL_PROCESSORS = 0xff;
const NMI_INPUT = 1;

/** QEMU and KVM wire the timer, interrupt 0, to the I/O APIC's input 2. */
const TIMER_INPUT = 2;

/** Bytes of a MADT before its structures, and of a local APIC's structure before its flags. */
const MADT_HEADER_SIZE = 44;
const LOCAL_APIC_FLAGS = 4;

/**
 * Offsets for the fix-up of the MADT: the flags of the first processor, followed by the others' at distances of
 * LOCAL_APIC_SIZE, and the checksum.
 */
const MADT_FIRST_FLAGS_OFFSET = MADT_HEADER_SIZE + LOCAL_APIC_FLAGS;
const MADT_CHECKSUM_OFFSET = 9;

/** Processors first, with the APIC IDs 0 to `processorCount` - 1 (at most 254), then an I/O APIC, the timer and the NMI. */
function madt(processorCount: number): Uint8Array {
  const table = new StructWriter().u32(LOCAL_APIC_BASE, PCAT_COMPATIBLE);
  for (let id = 0; id < processorCount; id++) table.u8(TYPE.LOCAL_APIC, LOCAL_APIC_SIZE, id, id).u32(ENABLED);
  table
    .u8(TYPE.IO_APIC, 12, processorCount, 0)
    .u32(IO_APIC_BASE, 0)
    .u8(TYPE.SOURCE_OVERRIDE, 10, 0, 0)
    .u32(TIMER_INPUT)
    .u16(0)
    .u8(TYPE.LOCAL_NMI, 6, ALL_PROCESSORS)
    .u16(0)
    .u8(NMI_INPUT);
  return acpiTable({ signature: 'APIC', revision: 4, oem: OEM }, table.finish());
}

/** Offset of the boot architecture flags in a FADT, what they say here, and the table's size without its header (revision 6). */
const BOOT_ARCHITECTURE = { offset: 109 - 36, legacyDevices: 1, keyboardController: 2 } as const;
const FADT_SIZE = 276 - 36;

/**
 * The FADT of a machine with only a PC's standard devices. The place of the power management registers depends on the
 * firmware, which such a guest doesn't have, so they are left out, and the DSDT is empty. Linux then runs as on a
 * machine without ACPI, but knows its processors: it probes for PCI, and a guest that powers off halts.
 */
function fadt(dsdtGpa: number): Uint8Array {
  const body = new Uint8Array(FADT_SIZE);
  const view = new DataView(body.buffer);
  view.setUint32(40 - 36, dsdtGpa, true);
  view.setBigUint64(140 - 36, BigInt(dsdtGpa), true);
  view.setUint16(
    BOOT_ARCHITECTURE.offset,
    BOOT_ARCHITECTURE.legacyDevices | BOOT_ARCHITECTURE.keyboardController,
    true,
  );
  return acpiTable({ signature: 'FACP', revision: 6, oem: OEM }, body);
}

/** Bytes kept for the RSDP, before the tables. */
const RSDP_SIZE = 64;

/**
 * ACPI tables that list the processors, for guests whose VMM supplies no ACPI: RSDP, FADT, MADT and XSDT.
 * @param gpa where they will lie; the RSDP is the first
 * @param processorCount at most 254
 * @returns also where the MADT lies
 */
function processorTables(gpa: number, processorCount: number): { bytes: Uint8Array; madtGpa: number } {
  const set = new AcpiTableSet(gpa + RSDP_SIZE, OEM);
  const dsdtGpa = set.add(acpiTable({ signature: 'DSDT', revision: 2, oem: OEM }), { listed: false });
  set.add(fadt(dsdtGpa));
  const madtGpa = set.add(madt(processorCount));
  const { rsdp, tables } = set.finish();
  const bytes = new StructWriter()
    .raw(rsdp)
    .zeros(RSDP_SIZE - rsdp.length)
    .raw(tables)
    .finish();
  return { bytes, madtGpa };
}
