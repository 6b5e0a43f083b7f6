import { StructWriter } from '../../../memory/struct-writer';
import { dsdt } from './dsdt';
import { IO_APIC_BASE, LOCAL_APIC_BASE, acpiTable, AcpiTableSet } from './tables';

/** Highest APIC ID in the short structures: 255 means all processors (ACPI 5.2.12.2). */
export const LEGACY_APIC_ID_LIMIT = 0xfe;

/** Types of interrupt controller structures (ACPI specification, table 5.21). */
const TYPE = { LOCAL_APIC: 0, IO_APIC: 1, SOURCE_OVERRIDE: 2, LOCAL_NMI: 4, LOCAL_X2APIC: 9 };

const PCAT_COMPATIBLE = 1;
const ENABLED = 1;
/** Interrupt flags of a source override: active high, level-triggered. */
const ACTIVE_HIGH_LEVEL = 0b1101;

/**
 * The multiple APIC description table: one I/O APIC, the ACPI interrupt, the timer's interrupt 0 on input 2, the NMI
 * line of processor 1, and the processors. Processor `n` has APIC ID `n` and UID `n + 1`.
 * @param acpiIrq interrupt line of ACPI
 */
export function madt(processorCount: number, acpiIrq: number): Uint8Array {
  const table = new StructWriter()
    .u32(LOCAL_APIC_BASE, PCAT_COMPATIBLE)
    .u8(TYPE.IO_APIC, 12, 0, 0)
    .u32(IO_APIC_BASE, 0)
    .u8(TYPE.SOURCE_OVERRIDE, 10, 0, acpiIrq)
    .u32(acpiIrq)
    .u16(ACTIVE_HIGH_LEVEL)
    .u8(TYPE.SOURCE_OVERRIDE, 10, 0, 0)
    .u32(2)
    .u16(0)
    .u8(TYPE.LOCAL_NMI, 6, 1)
    .u16(0)
    .u8(1);
  for (let apicId = 0; apicId < processorCount; apicId++) {
    const uid = apicId + 1;
    if (apicId <= LEGACY_APIC_ID_LIMIT) table.u8(TYPE.LOCAL_APIC, 8, uid, apicId).u32(ENABLED);
    else table.u8(TYPE.LOCAL_X2APIC, 16).u16(0).u32(apicId, ENABLED, uid);
  }
  return acpiTable({ signature: 'APIC', revision: 5 }, table.finish());
}

/** Types of affinity structures (ACPI specification 5.2.16). */
const AFFINITY = { PROCESSOR: 0, MEMORY: 1, PROCESSOR_X2APIC: 2 };
const AFFINITY_ENABLED = 1;

/**
 * The system resource affinity table. All memory, one range from GPA 0, belongs to proximity domain 0.
 * @param memorySize bytes
 * @param domains `single`: all processors belong to that domain, too. `each`: processor `n` is the only one of socket
 *   `n` and thus of domain `n`, as in upstream until August 2026
 */
export function srat(processorCount: number, memorySize: number, domains: 'single' | 'each'): Uint8Array {
  const table = new StructWriter().u32(1).u64(0);
  for (let apicId = 0; apicId < processorCount; apicId++) {
    const domain = domains === 'each' ? apicId : 0;
    if (apicId <= LEGACY_APIC_ID_LIMIT) {
      table.u8(AFFINITY.PROCESSOR, 16, domain, apicId).u32(AFFINITY_ENABLED).u32(0, 0);
    } else {
      table.u8(AFFINITY.PROCESSOR_X2APIC, 24).u16(0).u32(domain, apicId, AFFINITY_ENABLED, 0, 0);
    }
  }
  table.u8(AFFINITY.MEMORY, 40).u32(0).u16(0).u64(0, memorySize).u32(0, AFFINITY_ENABLED).u64(0);
  return acpiTable({ signature: 'SRAT', revision: 3 }, table.finish());
}

/** Bits of the fixed feature flags (ACPI specification, table 5.10). */
const FLAGS = [
  0, // WBINVD works
  2, // C1 on all processors
  4, // power button is a device
  5, // sleep button is a device
  7, // RTC wakes from S4
  8, // 32-bit timer
  10, // reset register
  15, // use the platform clock
].reduce((flags, bit) => flags | (1 << bit), 0);

/** Latencies above these limits mean that there is no C2 and no C3. */
const NO_C2 = 101;
const NO_C3 = 1001;

/** Registers of OpenVMM's power management device, as offsets from its base (openvmm vm/devices/chipset/src/pm). */
const PM_REGISTER = { STATUS: 0x00, CONTROL: 0x04, TIMER: 0x08, GENERAL_PURPOSE_STATUS: 0x0c, RESET: 0x33 };
const PM_RESET_VALUE = 1;

const ACCESS = { byte: 1, word: 2, dword: 3 } as const;

/** Generic address structure (ACPI 5.2.3.2) of an I/O port. */
const port = (address: number, bits: number, access: keyof typeof ACCESS): Uint8Array =>
  new StructWriter().u8(1, bits, 0, ACCESS[access]).u64(address).finish();

const NO_REGISTER = new Uint8Array(12);

/**
 * The fixed ACPI description table of OpenVMM's PC-compatible chipset.
 * @param dsdtGpa where the DSDT lies
 * @param pmBase first I/O port of the power management device
 * @param acpiIrq interrupt line of ACPI
 */
export function fadt(dsdtGpa: number, pmBase: number, acpiIrq: number): Uint8Array {
  const table = new StructWriter()
    .zeros(8) // 32-bit FACS and DSDT
    .zeros(2)
    .u16(acpiIrq)
    .zeros(8) // SMI command port and what to write to it
    .zeros(32) // 32-bit register blocks
    .u8(4, 2, 0, 4, 4, 0, 0, 0) // lengths: PM1 event, PM1 control, PM2 control, PM timer, GPE0, GPE1
    .u16(NO_C2, NO_C3)
    .zeros(12) // cache flush, duty cycle, RTC alarms, boot architecture
    .u32(FLAGS)
    .raw(port(pmBase + PM_REGISTER.RESET, 8, 'byte'))
    .u8(PM_RESET_VALUE)
    .zeros(3) // ARM boot architecture, minor version
    .u64(0, dsdtGpa);
  const blocks = [
    port(pmBase + PM_REGISTER.STATUS, 32, 'word'), // PM1a event
    NO_REGISTER, // PM1b event
    port(pmBase + PM_REGISTER.CONTROL, 16, 'word'), // PM1a control
    NO_REGISTER, // PM1b control
    NO_REGISTER, // PM2 control
    port(pmBase + PM_REGISTER.TIMER, 32, 'dword'), // PM timer
    port(pmBase + PM_REGISTER.GENERAL_PURPOSE_STATUS, 32, 'word'), // GPE0
    NO_REGISTER, // GPE1
    NO_REGISTER, // sleep control
    NO_REGISTER, // sleep status
  ];
  for (const block of blocks) table.raw(block);
  return acpiTable({ signature: 'FACP', revision: 6 }, table.u64(0).finish());
}

/** OpenVMM's defaults (openvmm vm/devices/chipset_resources: pm). */
const PM_BASE = 0x400;
const ACPI_IRQ = 9;

/**
 * ACPI tables of a guest on OpenVMM's standard chipset with one processor per socket and all RAM in one range (openvmm
 * vmm_core/src/acpi_builder.rs: build_acpi_tables).
 * @param gpa where the tables will lie
 * @param processorCount at most PROCESSOR_NAME_LIMIT of dsdt.ts
 * @param memorySize bytes
 * @param domains as for the SRAT above
 */
export function linuxDirectAcpiTables(
  gpa: number,
  processorCount: number,
  memorySize: number,
  domains: 'single' | 'each',
): { rsdp: Uint8Array; tables: Uint8Array } {
  const set = new AcpiTableSet(gpa);
  const dsdtGpa = set.add(dsdt(processorCount), { listed: false });
  set.add(fadt(dsdtGpa, PM_BASE, ACPI_IRQ));
  set.add(madt(processorCount, ACPI_IRQ));
  set.add(srat(processorCount, memorySize, domains));
  return set.finish();
}
