import { IgvmError } from '../errors/igvm-error';
import { Vmsa, type VmsaFieldName, type VmsaSelectorName } from '../vp-context/vmsa';

/** CR4 bits that not every processor model has (AMD64 manual, volume 2, section 3.1.3). */
const CR4 = { umip: 1n << 11n, pke: 1n << 22n, cet: 1n << 23n, pks: 1n << 24n, lam: 1n << 28n } as const;

/** CR4 bits that QEMU clears for every model: none of them has CET, PKS or LAM. */
const DROPPED_BY_ALL = CR4.cet | CR4.pks | CR4.lam;

/** CR4 bits that every EPYC model of QEMU keeps: bits 0 to 10, FSGSBASE, OSXSAVE, SMEP, SMAP. */
const KEPT_BY_ALL = 0x7ffn | (1n << 16n) | (1n << 18n) | (1n << 20n) | (1n << 21n);

interface ModelFamily {
  /** CPUID leaf 1, EAX: the processor signature. The versions of a model (`-v2`) share it. */
  readonly signature: number;
  /** CR4 bits that QEMU drops besides {@link DROPPED_BY_ALL}. */
  readonly drops: bigint;
}

/**
 * QEMU's processor models that can run SEV-SNP guests (QEMU 10.2, target/i386/cpu.c: builtin_x86_defs; the dropped bits were
 * seen in runs).
 */
const MODELS: Readonly<Record<string, ModelFamily>> = {
  EPYC: { signature: 0x00800f12, drops: CR4.umip | CR4.pke },
  'EPYC-Rome': { signature: 0x00830f10, drops: CR4.pke },
  'EPYC-Milan': { signature: 0x00a00f11, drops: 0n },
  'EPYC-Genoa': { signature: 0x00a10f10, drops: 0n },
  'EPYC-Turin': { signature: 0x00b00f00, drops: 0n },
};

export const CPU_MODEL_NAMES: readonly string[] = Object.keys(MODELS);

/** A processor as QEMU presents it to the guest. */
export interface CpuModel {
  /** As the user named it. */
  readonly name: string;
  /** CPUID leaf 1, EAX; it is in RDX when a vCPU is reset. */
  readonly signature: number;
  /** CR4 bits that QEMU drops; undefined for a signature of no known model. */
  readonly drops?: bigint;
}

/**
 * Reads a processor: a model of QEMU (`EPYC-Milan`, `EPYC-Genoa-v2`), a signature (`0x00a00f11`), or
 * `family/model/stepping`, each decimal or with 0x (`25/1/1`).
 * @throws IgvmError LAUNCH_INVALID
 */
export function parseCpu(text: string): CpuModel {
  const [, base = ''] = /^(EPYC(?:-[A-Z][a-z]+)?)(?:-v\d{1,2}|-IBPB)?$/.exec(text) ?? [];
  if (Object.hasOwn(MODELS, base)) {
    const { signature, drops } = MODELS[base]!;
    return { name: text, signature, drops: drops | DROPPED_BY_ALL };
  }
  const signature = signatureOf(text);
  if (signature === undefined) {
    const hint =
      text === 'host' || text === 'max'
        ? `; for -cpu ${text} give the processor's signature (CPUID leaf 1, EAX)`
        : '; give a model of QEMU, a signature such as 0x00a00f11, or family/model/stepping such as 25/1/1';
    throw new IgvmError('LAUNCH_INVALID', `"${text}" is not a processor (known: ${CPU_MODEL_NAMES.join(', ')})${hint}`);
  }
  const known = Object.values(MODELS).find((model) => model.signature === signature);
  return { name: text, signature, ...(known === undefined ? {} : { drops: known.drops | DROPPED_BY_ALL }) };
}

function signatureOf(text: string): number | undefined {
  if (/^0x[0-9a-f]{1,8}$/i.test(text)) return Number(text);
  const parts = text.split('/');
  if (parts.length !== 3 || !parts.every((part) => /^(?:\d{1,3}|0x[0-9a-f]{1,2})$/i.test(part))) return undefined;
  const [family = 0, model = 0, stepping = 0] = parts.map(Number);
  if (family < 15 || family > 15 + 255 || model > 255 || stepping > 15) return undefined;
  return processorSignature(family, model, stepping);
}

/** The signature of a processor (AMD64 manual, volume 3, CPUID Fn0000_0001_EAX). Its family is 15 or higher, which uses the extended fields. */
export const processorSignature = (family: number, model: number, stepping: number): number =>
  ((family - 15) << 20) | ((model >> 4) << 16) | (0xf << 8) | ((model & 0xf) << 4) | stepping;

/** CR4 bits that only some models keep. */
export const dependsOnModel = (cr4: bigint): boolean => (cr4 & (CR4.umip | CR4.pke)) !== 0n;

/** CR4 bits that QEMU handles in an unknown way. */
export const unknownCr4Bits = (cr4: bigint): bigint => cr4 & ~(KEPT_BY_ALL | CR4.umip | CR4.pke | DROPPED_BY_ALL);

/** CR4 as QEMU sets it for a model. The model may be missing only for values that don't depend on it. */
export const cr4OnModel = (cr4: bigint, cpu: CpuModel | undefined): bigint => cr4 & ~(cpu?.drops ?? DROPPED_BY_ALL);

/** How a VMM on KVM fills the registers of its vCPUs, from which KVM makes the VMSAs that are measured. */
export interface VcpuState {
  /** Fields that the VMM takes from the file; all others are as after a reset. */
  readonly takes: readonly VmsaFieldName[];
  /** The register whose base is loaded into TR. QEMU loads that of LDTR, a bug that digests depend on. */
  readonly trBase: 'tr' | 'ldtr';
  /** QEMU passes control registers through its own model of a processor: ET is set, LMA follows, CR4 loses bits. */
  readonly correctsControlRegisters: boolean;
  /** The state of a vCPU that has no context in the file. */
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

/**
 * Cloud Hypervisor (hypervisor/src/kvm: setup_sev_snp_regs); the other fields have KVM's own reset state (svm.c:
 * init_vmcb).
 */
export const CLOUD_HYPERVISOR_VCPUS: VcpuState = {
  takes: COMMON,
  trBase: 'tr',
  correctsControlRegisters: false,
  reset: { cs: 0x9a, data: 0x92, tr: 0x83, rdx: 0x600n },
};

const CODE_AND_DATA = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const satisfies readonly VmsaSelectorName[];

/**
 * Fields of every vCPU after a reset (AMD64 manual, volume 2, table 14-1). MXCSR and the x87 control word are never
 * taken from a file.
 */
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

/** EFER as the VMM passes it to KVM: QEMU sets LMA if paging and LME are on. */
export function eferFor(state: VcpuState, vmsa: Vmsa): bigint {
  const efer = vmsa.get('efer');
  const isLong = (vmsa.get('cr0') & CR0_PG) !== 0n && (efer & EFER.lme) !== 0n;
  return state.correctsControlRegisters && isLong ? efer | EFER.lma : efer;
}

/** Everything that the VMSA of one vCPU depends on. */
export interface VcpuLaunch {
  readonly state: VcpuState;
  /** The vCPU's context in the file. */
  readonly context: Vmsa | undefined;
  /** SEV_FEATURES of the first vCPU, which apply to all. */
  readonly features: bigint;
  readonly cpu: CpuModel | undefined;
}

/**
 * The VMSA that KVM measures for a vCPU when the launch is finished (Linux, arch/x86/kvm/svm/sev.c: sev_es_sync_vmsa,
 * and the changes that svm.c makes to segments and control registers as they are set). Fields that KVM doesn't set are
 * zero.
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
