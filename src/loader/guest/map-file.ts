import { PAGE_SIZE } from '../../memory/page';
import type { AcceptedRange } from './accepted-ranges';
import { type GuestIsolation, policyFields, SNP_POLICY_FIELDS, TDX_POLICY_FIELDS } from './guest-platform';

/** One guest's part of the `.map` file: where everything lies in its memory. Addresses and sizes in bytes. */
export interface MapFile {
  isolation: GuestIsolation;
  /** By ascending address. */
  acceptedRanges: readonly AcceptedRange[];
  /** Memory that code in the guest accepts at boot, by ascending address; absent if there is no such code. */
  reportedRanges?: readonly { pageBase: number; pageCount: number; tag: string }[];
  /** In the order in which they were required. */
  requiredMemory: readonly { gpa: number; size: number; vtl2Protectable: boolean }[];
  /** By ascending address. */
  relocatableRegions: readonly { kind: 'region' | 'pageTable'; gpa: number; size: number }[];
}

const address = (value: number): string => value.toString(16).padStart(16, '0');
const line = (start: number, size: number, what: string): string =>
  `  ${address(start)} - ${address(start + size)} (0x${size.toString(16)} bytes) ${what}\n`;

const struct = (name: string, fields: readonly (readonly [string, unknown])[]): string =>
  `${name} { ${fields.map(([field, value]) => `${field}: ${String(value)}`).join(', ')} }`;

const variant = (name: string): string => `${name.charAt(0).toUpperCase()}${name.slice(1)}`;

/** The isolation as the reference's map files print it. */
function isolationText(isolation: GuestIsolation): string {
  switch (isolation.type) {
    case 'none':
      return 'None';
    case 'vbs':
      return struct('Vbs', [['enable_debug', isolation.enableDebug]]);
    case 'snp': {
      const bits = isolation.sharedGpaBoundaryBits;
      return struct('Snp', [
        ['shared_gpa_boundary_bits', bits === undefined ? 'None' : `Some(${bits})`],
        ['policy', struct('SnpPolicy', policyFields(isolation.policy, SNP_POLICY_FIELDS))],
        ['injection_type', variant(isolation.injectionType)],
        ['secure_avic', variant(isolation.secureAvic)],
      ]);
    }
    case 'tdx':
      return struct('Tdx', [['policy', struct('TdxPolicy', policyFields(isolation.policy, TDX_POLICY_FIELDS))]]);
  }
}

/** One guest's part of the map file, in the reference's form (file_loader.rs: MapFile). */
function mapText(map: MapFile): string {
  let text = `IGVM file isolation: ${isolationText(map.isolation)}\nIGVM file layout:\n`;
  for (const range of map.acceptedRanges) {
    text += line(range.pageBase * PAGE_SIZE, range.pageCount * PAGE_SIZE, range.tag);
  }
  const reported = map.reportedRanges ?? [];
  if (reported.length > 0) text += 'IGVM file reported ranges:\n';
  for (const range of reported) {
    text += line(range.pageBase * PAGE_SIZE, range.pageCount * PAGE_SIZE, `${range.tag} [PVALIDATE]`);
  }
  if (map.requiredMemory.length > 0) text += 'IGVM file required memory:\n';
  for (const memory of map.requiredMemory) {
    text += line(memory.gpa, memory.size, memory.vtl2Protectable ? 'VTL2 protectable' : '');
  }
  if (map.relocatableRegions.length > 0) text += 'IGVM file relocatable regions:\n';
  for (const region of map.relocatableRegions) {
    text += line(region.gpa, region.size, `${region.kind === 'pageTable' ? 'pagetable ' : ''}relocation region`);
  }
  return text;
}

/** The whole map file: every guest in the manifest's order, a blank line after each. */
export const mapFileText = (maps: readonly MapFile[]): string => maps.map((map) => `${mapText(map)}\n`).join('');
