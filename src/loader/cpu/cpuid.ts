import { StructWriter } from '../../memory/struct-writer';
import type { IsolationConfig } from '../guest/importer';

/** HV_PARTITION_ISOLATION_TYPE (Hypervisor Top Level Functional Specification, CPUID leaf 0x4000000C). */
const ISOLATION_TYPE = { none: 0, vbs: 1, snp: 2, tdx: 3 } as const;

const SHARED_BOUNDARY_ACTIVE = 1 << 5;
const SHARED_BOUNDARY_SHIFT = 6;
const SHARED_BOUNDARY_MASK = 0x3f;

/**
 * What the guest will find in Hyper-V's isolation CPUID leaf (ECX and EDX are 0). UEFI gets it in registers, before it
 * can execute CPUID (openvmm vm/loader/src/importer.rs: get_cpuid).
 */
export function isolationCpuid(isolation: IsolationConfig): { eax: number; ebx: number } {
  const bits = isolation.sharedGpaBoundaryBits;
  const boundary =
    bits === undefined ? 0 : SHARED_BOUNDARY_ACTIVE | ((bits & SHARED_BOUNDARY_MASK) << SHARED_BOUNDARY_SHIFT);
  return { eax: isolation.paravisorPresent ? 1 : 0, ebx: ISOLATION_TYPE[isolation.type] | boundary };
}

/** One CPUID leaf that the guest needs: EAX and ECX of the query. */
export type CpuidLeaf = readonly [eax: number, ecx: number];

/** CPUID function numbers by the names of AMD64 manual, volume 3, appendix E. */
const SEV_FEATURES = 0x8000001f;
const EXTENDED_STATE = 0xd;

/** Leaves for UEFI without a paravisor; the SEV leaf must come first (openvmm vm/loader/src/cpuid.rs). */
export const UEFI_CPUID_LEAVES: readonly CpuidLeaf[] = [
  [SEV_FEATURES, 0],
  [0x1, 0],
  [0x2, 0],
  [0x5, 0],
  [0x6, 0],
  [0x9, 0],
  [0xa, 0],
  [0x7, 0],
  [0x4, 0],
  [0x4, 1],
  [0x4, 2],
  [0xb, 0],
  [0xb, 1],
  [0x80000001, 0],
  [0x80000005, 0],
  [0x80000006, 0],
  [0x80000007, 0],
  [0x80000008, 0],
  [0x8000000a, 0],
  [0x8000001e, 0],
];

/** Leaves for the OpenHCL paravisor; the SEV leaf must come first (openvmm vm/loader/src/cpuid.rs). */
export const PARAVISOR_CPUID_LEAVES: readonly CpuidLeaf[] = [
  [SEV_FEATURES, 0],
  [0x0, 0],
  [0x1, 0],
  [0x80000000, 0],
  [0x5, 0],
  [0x9, 0],
  [0xa, 0],
  [0x7, 0],
  [0xb, 0],
  [0xb, 1],
  [0x80000001, 0],
  [0x80000005, 0],
  [0x80000006, 0],
  [0x80000007, 0],
  [0x80000008, 0],
  [0x8000000a, 0],
  [0x8000001e, 0],
  [EXTENDED_STATE, 0],
  [EXTENDED_STATE, 1],
  [EXTENDED_STATE, 2],
  [EXTENDED_STATE, 3],
  [EXTENDED_STATE, 4],
  [EXTENDED_STATE, 5],
  [EXTENDED_STATE, 6],
  [EXTENDED_STATE, 7],
  [EXTENDED_STATE, 8],
  [0x80000002, 0],
  [0x80000003, 0],
  [0x80000004, 0],
  [0x80000019, 0],
  [0x8000001a, 0],
  [0x8000001d, 0],
  [0x8000001d, 1],
  [0x8000001d, 2],
  [0x8000001d, 3],
];

/** Room for leaves in the page (SEV-SNP firmware ABI, 7.1: at most 64 of 48 bytes each). */
const LEAF_LIMIT = 64;
const LEAF_SIZE = 48;

/**
 * The page that asks SNP firmware to validate CPUID leaves: each leaf has its inputs, and zeros for its outputs. The
 * whole array is written, even unused entries, as it is measured.
 * @param extendedStateXfem XCR0 to assume when the extended state leaves are evaluated
 */
export function snpCpuidPage(leaves: readonly CpuidLeaf[], extendedStateXfem: number): Uint8Array {
  const page = new StructWriter().u32(leaves.length).zeros(12);
  for (const [eax, ecx] of leaves) {
    page
      .u32(eax, ecx)
      .u64(eax === EXTENDED_STATE ? extendedStateXfem : 0)
      .zeros(LEAF_SIZE - 16);
  }
  return page.zeros((LEAF_LIMIT - leaves.length) * LEAF_SIZE).finish();
}
