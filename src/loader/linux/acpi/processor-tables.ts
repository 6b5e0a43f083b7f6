import { StructWriter } from '../../../memory/struct-writer';
import { type AcpiOem, acpiTable, AcpiTableSet } from './tables';

/** The interrupt controllers of PCs, as QEMU, KVM and Hyper-V emulate them. GPAs. */
export const LOCAL_APIC_BASE = 0xfee00000;
export const IO_APIC_BASE = 0xfec00000;

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
 * For the fix-up: the offset of the first processor's flags in the MADT, the distance to the next processor's, and the
 * offset of the checksum.
 */
export const MADT_FIRST_FLAGS_OFFSET = MADT_HEADER_SIZE + LOCAL_APIC_FLAGS;
export const MADT_PROCESSOR_SIZE = LOCAL_APIC_SIZE;
export const MADT_CHECKSUM_OFFSET = 9;

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
export function processorTables(gpa: number, processorCount: number): { bytes: Uint8Array; madtGpa: number } {
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
