import { IO_APIC_BASE, LOCAL_APIC_BASE } from '../../cpu/apic';
import { StructWriter } from '../../../memory/struct-writer';
import { acpiTable } from './tables';

/** Highest APIC ID of the short structures: 255 means all processors (ACPI 5.2.12.2). */
export const LEGACY_APIC_ID_LIMIT = 0xfe;

/** Types of interrupt controller structures (ACPI specification, table 5.21). */
const TYPE = { LOCAL_APIC: 0, IO_APIC: 1, SOURCE_OVERRIDE: 2, LOCAL_NMI: 4, LOCAL_X2APIC: 9 };

const PCAT_COMPATIBLE = 1;
const ENABLED = 1;
/** Interrupt flags of a source override: active high, level-triggered. */
const ACTIVE_HIGH_LEVEL = 0b1101;

/**
 * The multiple APIC description table: one IO-APIC, the ACPI interrupt, the timer's interrupt 0 on input 2, the
 * NMI line of processor 1, and the processors. Processor `n` has APIC ID `n` and UID `n + 1`.
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
