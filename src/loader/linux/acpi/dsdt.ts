import { IO_APIC_BASE, LOCAL_APIC_BASE } from './processor-tables';
import {
  currentResources,
  device,
  edgeInterrupt,
  eisaId,
  integer,
  ioPort,
  memory32Fixed,
  methodReturning,
  named,
  packageOf,
  string,
  type AmlTerm,
} from './aml';
import { acpiTable } from './tables';

const OEM = {
  id: 'MSFTVM',
  tableId: 'DSDT01\0\0',
  revision: 1,
  creatorId: 'MSFT',
  creatorRevision: 0x5000000,
};

/** Devices of OpenVMM's PC-compatible chipset (openvmm vm/acpi/src/dsdt.rs), and the sleep states it knows. */
const CHIPSET: readonly AmlTerm[] = [
  named('\\_S0', packageOf(0, 0)),
  named('\\_S5', packageOf(0, 0)),
  device(
    '\\_SB.APIC',
    named('_HID', eisaId('PNP0003')),
    currentResources(memory32Fixed(LOCAL_APIC_BASE, 0x1000), memory32Fixed(IO_APIC_BASE, 0x1000)),
  ),
  device(
    '\\_SB.UAR1',
    named('_HID', eisaId('PNP0501')),
    named('_DDN', string('COM1')),
    named('_UID', integer(1)),
    currentResources(ioPort(0x3f8, 1, 8), edgeInterrupt(4)),
  ),
  device(
    '\\_SB.RTC0',
    named('_HID', eisaId('PNP0B00')),
    named('_UID', integer(0)),
    currentResources(ioPort(0x70, 0, 2), edgeInterrupt(8)),
  ),
];

/** Processors that names go round for: the first letter counts thousands, from P to Z. */
export const PROCESSOR_NAME_LIMIT = ('Z'.charCodeAt(0) - 'P'.charCodeAt(0) + 1) * 1000 - 1;

/** "P001" for the first processor; after "P999" follows "Q000". */
function processorName(uid: number): string {
  const letter = String.fromCharCode('P'.charCodeAt(0) + Math.floor(uid / 1000));
  return letter + String(uid % 1000).padStart(3, '0');
}

/** Device(P001) { Name(_HID, "ACPI0007") Name(_UID, 1) Method(_STA, 0) { Return(0xF) } }: present and working. */
const processor = (uid: number): AmlTerm =>
  device(
    processorName(uid),
    named('_HID', string('ACPI0007')),
    named('_UID', integer(uid)),
    methodReturning('_STA', integer(0xf)),
  );

/**
 * The differentiated system description table: the chipset's devices and `processorCount` processors.
 * @param processorCount at most {@link PROCESSOR_NAME_LIMIT}
 */
export function dsdt(processorCount: number): Uint8Array {
  const processors = Array.from({ length: processorCount }, (_, index) => processor(index + 1));
  return acpiTable({ signature: 'DSDT', revision: 2, oem: OEM }, ...CHIPSET, ...processors);
}
