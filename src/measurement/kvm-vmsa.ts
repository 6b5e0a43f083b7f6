import { Vmsa, type VmsaFieldName, type VmsaSelectorName } from '../vp-context/vmsa';
import { cr4OnModel, type CpuModel } from './cpu-models';

/** How a VMM on KVM fills the registers of its vCPUs, from which KVM makes the VMSAs that are measured. */
export interface VcpuState {
  /** Fields that the VMM takes from the file; all others are as after a reset. */
  readonly takes: readonly VmsaFieldName[];
  /** Whose base TR gets. QEMU sets it to that of LDTR, a fault of QEMU's that digests depend on. */
  readonly trBase: 'tr' | 'ldtr';
  /** QEMU passes control registers through its own model of a processor: ET is set, LMA follows, CR4 loses bits. */
  readonly correctsControlRegisters: boolean;
  /** A vCPU without a context in the file. */
  readonly reset: {
    readonly cs: number;
    readonly data: number;
    readonly tr: number;
    /** Processor signature, or a constant. */
    readonly rdx: 'signature' | bigint;
  };
}

const GENERAL_REGISTERS = [
  'rax',
  'rbx',
  'rcx',
  'rdx',
  'rsi',
  'rdi',
  'rbp',
  'rsp',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
] as const satisfies readonly VmsaFieldName[];

const COMMON = ['cr0', 'cr3', 'cr4', 'efer', 'rip', 'rflags', ...GENERAL_REGISTERS] as const;

/** QEMU (target/i386/sev.c: sev_apply_cpu_context; the reset state of target/i386/cpu.c). */
export const QEMU_VCPUS: VcpuState = {
  takes: [...COMMON, 'dr6', 'dr7', 'pat', 'xcr0'],
  trBase: 'ldtr',
  correctsControlRegisters: true,
  reset: { cs: 0x9b, data: 0x93, tr: 0x8b, rdx: 'signature' },
};

/** Cloud Hypervisor (hypervisor/src/kvm: setup_sev_snp_regs); what it leaves is KVM's own reset state (svm.c: init_vmcb). */
export const CLOUD_HYPERVISOR_VCPUS: VcpuState = {
  takes: COMMON,
  trBase: 'tr',
  correctsControlRegisters: false,
  reset: { cs: 0x9a, data: 0x92, tr: 0x83, rdx: 0x600n },
};

const CODE_AND_DATA = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const satisfies readonly VmsaSelectorName[];

/** Of every vCPU after a reset (AMD64 manual, volume 2, table 14-1). MXCSR and the x87 control word are never taken from a file. */
const RESET: Partial<Record<VmsaFieldName, bigint>> = {
  cr0: 0x10n,
  rip: 0xfff0n,
  dr6: 0xffff0ff0n,
  dr7: 0x400n,
  pat: 0x0007040600070406n,
  xcr0: 1n,
  mxcsr: 0x1f80n,
  x87Fcw: 0x37fn,
};

const CR0_PG = 1n << 31n;
const CR0_CD_NW = 0x6000_0000n;
const CR0_ET = 0x10n;
const CR4_MCE = 0x40n;
export const EFER = { lme: 0x100n, lma: 0x400n, svme: 0x1000n } as const;

/** EFER as the VMM hands it to KVM: QEMU sets LMA with paging when LME is set. */
export function eferFor(state: VcpuState, vmsa: Vmsa): bigint {
  const efer = vmsa.get('efer');
  const isLong = (vmsa.get('cr0') & CR0_PG) !== 0n && (efer & EFER.lme) !== 0n;
  return state.correctsControlRegisters && isLong ? efer | EFER.lma : efer;
}

/** What decides on the VMSA of one vCPU. */
export interface VcpuLaunch {
  readonly state: VcpuState;
  /** The vCPU's context in the file. */
  readonly context: Vmsa | undefined;
  /** SEV_FEATURES of the first vCPU, which count for all. */
  readonly features: bigint;
  readonly cpu: CpuModel | undefined;
}

/**
 * The VMSA that KVM measures for a vCPU when the launch is finished (Linux, arch/x86/kvm/svm/sev.c: sev_es_sync_vmsa, with
 * what svm.c does to segments and control registers as they are set). Fields that it doesn't name are zero.
 */
export function kvmVmsa({ state, context, features, cpu }: VcpuLaunch): Vmsa {
  const measured = new Vmsa();
  for (const [name, value] of Object.entries(RESET)) measured.set(name as VmsaFieldName, value);
  if (context === undefined) resetSegments(measured, state);
  else takeContext(measured, context, state, cpu);
  if (context === undefined && state.reset.rdx !== 'signature') measured.set('rdx', state.reset.rdx);
  if (context === undefined && state.reset.rdx === 'signature') measured.set('rdx', BigInt(cpu?.signature ?? 0));
  measured.set('cr0', measured.get('cr0') & ~CR0_CD_NW);
  measured.set('cr4', measured.get('cr4') | CR4_MCE);
  measured.set('efer', measured.get('efer') | EFER.svme);
  measured.set('rflags', measured.get('rflags') | 2n);
  measured.set('sevFeatures', features | 1n);
  // Descriptor privilege level: bits 5 and 6 of the attributes.
  measured.set('cpl', BigInt((measured.getSegment('ss').attributes >> 5) & 3));
  return measured;
}

function resetSegments(vmsa: Vmsa, { reset }: VcpuState): void {
  for (const name of CODE_AND_DATA) {
    vmsa.setSegment(name, { selector: 0, attributes: reset.data, limit: 0xffff, base: 0n });
  }
  vmsa.setSegment('cs', { selector: 0xf000, attributes: reset.cs, limit: 0xffff, base: 0xffff0000n });
  vmsa.setSegment('ldtr', { selector: 0, attributes: 0x82, limit: 0xffff, base: 0n });
  vmsa.setSegment('tr', { selector: 0, attributes: reset.tr, limit: 0xffff, base: 0n });
  vmsa.setTable('gdtr', { limit: 0xffff, base: 0n });
  vmsa.setTable('idtr', { limit: 0xffff, base: 0n });
}

function takeContext(vmsa: Vmsa, context: Vmsa, state: VcpuState, cpu: CpuModel | undefined): void {
  for (const name of state.takes) vmsa.set(name, context.get(name));
  vmsa.set('efer', eferFor(state, context));
  if (state.correctsControlRegisters) {
    vmsa.set('cr0', context.get('cr0') | CR0_ET);
    vmsa.set('cr4', cr4OnModel(context.get('cr4'), cpu));
  }
  for (const name of [...CODE_AND_DATA, 'ldtr', 'tr'] as const) vmsa.setSegment(name, context.getSegment(name));
  const tr = context.getSegment('tr');
  vmsa.setSegment('tr', { ...tr, base: context.getSegment(state.trBase).base });
  for (const name of ['gdtr', 'idtr'] as const) {
    const { limit, base } = context.getSegment(name);
    vmsa.setTable(name, { limit: limit & 0xffff, base });
  }
}
