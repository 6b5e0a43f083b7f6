import { StructWriter } from '../../../memory/struct-writer';
import { LEGACY_APIC_ID_LIMIT } from './madt';
import { acpiTable } from './tables';

/** Types of affinity structures (ACPI specification 5.2.16). */
const TYPE = { PROCESSOR: 0, MEMORY: 1, PROCESSOR_X2APIC: 2 };
const ENABLED = 1;

/**
 * The system resource affinity table. All memory, one range from GPA 0, belongs to proximity domain 0.
 * @param memorySize bytes
 * @param domains `single`: all processors belong to that domain, too. `each`: processor `n` is the only one of socket `n` and so of
 *   domain `n`, as in upstream until August 2026
 */
export function srat(processorCount: number, memorySize: number, domains: 'single' | 'each'): Uint8Array {
  const table = new StructWriter().u32(1).u64(0);
  for (let apicId = 0; apicId < processorCount; apicId++) {
    const domain = domains === 'each' ? apicId : 0;
    if (apicId <= LEGACY_APIC_ID_LIMIT) {
      table.u8(TYPE.PROCESSOR, 16, domain, apicId).u32(ENABLED).u32(0, 0);
    } else {
      table.u8(TYPE.PROCESSOR_X2APIC, 24).u16(0).u32(domain, apicId, ENABLED, 0, 0);
    }
  }
  table.u8(TYPE.MEMORY, 40).u32(0).u16(0).u64(0, memorySize).u32(0, ENABLED).u64(0);
  return acpiTable({ signature: 'SRAT', revision: 3 }, table.finish());
}
