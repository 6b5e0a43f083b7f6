import type { IsolationConfig } from '../guest/importer';

/** HV_PARTITION_ISOLATION_TYPE (Hypervisor Top Level Functional Specification, CPUID leaf 0x4000000C). */
const ISOLATION_TYPE = { none: 0, vbs: 1, snp: 2, tdx: 3 } as const;

const SHARED_BOUNDARY_ACTIVE = 1 << 5;
const SHARED_BOUNDARY_SHIFT = 6;
const SHARED_BOUNDARY_MASK = 0x3f;

/**
 * What the guest will find in Hyper-V's isolation CPUID leaf, of which ECX and EDX are 0: UEFI gets it in registers,
 * before it can ask (openvmm vm/loader/src/importer.rs: get_cpuid).
 */
export function isolationCpuid(isolation: IsolationConfig): { eax: number; ebx: number } {
  const bits = isolation.sharedGpaBoundaryBits;
  const boundary =
    bits === undefined ? 0 : SHARED_BOUNDARY_ACTIVE | ((bits & SHARED_BOUNDARY_MASK) << SHARED_BOUNDARY_SHIFT);
  return { eax: isolation.paravisorPresent ? 1 : 0, ebx: ISOLATION_TYPE[isolation.type] | boundary };
}
