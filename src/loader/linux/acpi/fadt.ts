import { StructWriter } from '../../../memory/struct-writer';
import { acpiTable } from './tables';

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

/** Latencies above these limits say that there is no C2 and no C3. */
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
