import { dsdt } from './dsdt';
import { fadt } from './fadt';
import { madt } from './madt';
import { srat } from './srat';
import { AcpiTableSet } from './tables';

/** OpenVMM's defaults (openvmm vm/devices/chipset_resources: pm). */
const PM_BASE = 0x400;
const ACPI_IRQ = 9;

/**
 * ACPI tables of a guest on OpenVMM's standard chipset with one processor a socket and all RAM in one range (openvmm
 * vmm_core/src/acpi_builder.rs: build_acpi_tables).
 * @param gpa where the tables will lie
 * @param processorCount at most PROCESSOR_NAME_LIMIT of dsdt.ts
 * @param memorySize bytes
 * @param domains see srat.ts
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
