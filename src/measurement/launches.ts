import { IgvmError } from '../errors/igvm-error';
import { type Directive, type InitializationHeader, PAGE_DATA_TYPE, type ParameterKind } from '../igvm/model';
import { type KvmMode, type LaunchRequest, type Vmm, VMM_NAMES } from '../manifest/model';
import { CLOUD_HYPERVISOR_VCPUS, type CpuModel, parseCpu, QEMU_VCPUS, type VcpuState } from './kvm-vmsa';

/** How well a profile is confirmed. */
type Evidence =
  /** The real program was run and its launch calls were recorded, or independent tools agree. */
  | 'tried'
  /** One other tool agrees. */
  | 'one source';

/** What a VMM measures of an SEV-SNP guest, and in which order. */
export interface LaunchRules {
  /** How a normal page without data is measured: like a page of zeros, or with the firmware's page type ZERO. */
  readonly emptyPages: 'normal' | 'zero';
  /** Pages with the shared flag. */
  readonly sharedPages: 'left out' | 'measured';
  /** How many 4 KiB pages a page with the 2 MiB flag stands for. */
  readonly largePage: 1 | 512;
  /**
   * Whether parameter areas are added in file order, or before the run of pages that QEMU is collecting
   * (backends/igvm.c).
   */
  readonly inserts: 'in file order' | 'before the open run';
  /** VMSAs as and where they are in the file, or one per vCPU after all pages, as KVM creates them. */
  readonly vmsas: 'as in the file' | VcpuState;
}

/** What a VMM loads. It refuses everything else. */
interface LoadRules {
  /** Whether other platforms may be in the file. */
  readonly otherPlatforms: boolean;
  readonly initializations: readonly InitializationHeader['type'][];
  readonly directives: readonly Directive['type'][];
  readonly parameters: readonly ParameterKind[];
  readonly pageTypes: readonly number[];
  /** Which checks of VP contexts apply (load-refusals.ts). */
  readonly contexts: readonly ContextRule[];
}

export type ContextRule =
  | 'fixedGpa'
  | 'needsVcpu'
  | 'snpFeature'
  | 'offeredFeatures'
  | 'knownFields'
  | 'debugControl'
  | 'extendedControl'
  | 'knownCr4'
  | 'tableLimits'
  | 'processorMode';

export interface VmmProfile {
  /** For messages: who refuses a file. */
  readonly program: string;
  /** For tables and help. */
  readonly label: string;
  readonly evidence: Evidence;
  readonly launch: LaunchRules;
  /** Undefined: loads whatever the format allows. */
  readonly loads?: LoadRules;
  /** Whether the digest depends on the number of vCPUs, and on the processor model. */
  readonly takes: { readonly vcpus: boolean; readonly cpu: boolean };
}

const { NORMAL, SECRETS, CPUID_DATA, CPUID_XF } = PAGE_DATA_TYPE;

const COMMON_DIRECTIVES: readonly Directive['type'][] = [
  'pageData',
  'parameterArea',
  'parameterInsert',
  'parameter',
  'vpContext',
  'requiredMemory',
  'snpIdBlock',
];

/** The VMMs whose launch digests can be computed, one per row. docs/launch-digests.md names the source of each row. */
const VMM_PROFILES = {
  hyperv: {
    program: 'Hyper-V',
    label: 'Hyper-V, and OpenVMM on it',
    evidence: 'tried',
    launch: {
      emptyPages: 'normal',
      sharedPages: 'left out',
      largePage: 512,
      inserts: 'in file order',
      vmsas: 'as in the file',
    },
    takes: { vcpus: false, cpu: false },
  },
  'qemu-kvm': {
    program: 'QEMU',
    label: 'QEMU with KVM',
    evidence: 'tried',
    launch: {
      emptyPages: 'normal',
      sharedPages: 'measured',
      largePage: 512,
      inserts: 'before the open run',
      vmsas: QEMU_VCPUS,
    },
    loads: {
      otherPlatforms: true,
      initializations: ['guestPolicy'],
      directives: COMMON_DIRECTIVES,
      parameters: ['vpCount', 'madt', 'memoryMap', 'environmentInfo'],
      pageTypes: [NORMAL, SECRETS, CPUID_DATA, CPUID_XF],
      contexts: [
        'fixedGpa',
        'needsVcpu',
        'snpFeature',
        'offeredFeatures',
        'knownFields',
        'debugControl',
        'extendedControl',
        'knownCr4',
        'processorMode',
      ],
    },
    takes: { vcpus: true, cpu: true },
  },
  'cloud-hypervisor-kvm': {
    program: 'Cloud Hypervisor',
    label: 'Cloud Hypervisor with KVM',
    evidence: 'tried',
    launch: {
      emptyPages: 'zero',
      sharedPages: 'measured',
      largePage: 1,
      inserts: 'in file order',
      vmsas: CLOUD_HYPERVISOR_VCPUS,
    },
    loads: {
      otherPlatforms: false,
      initializations: ['guestPolicy', 'relocatableRegion', 'pageTableRelocation'],
      directives: COMMON_DIRECTIVES,
      parameters: ['vpCount', 'memoryMap', 'commandLine'],
      pageTypes: [NORMAL, SECRETS, CPUID_DATA],
      contexts: ['fixedGpa', 'offeredFeatures', 'tableLimits', 'processorMode'],
    },
    takes: { vcpus: true, cpu: false },
  },
  vanadium: {
    program: 'Vanadium',
    label: 'Vanadium, as COCONUT-SVSM measures for it',
    evidence: 'one source',
    launch: {
      emptyPages: 'zero',
      sharedPages: 'measured',
      largePage: 512,
      inserts: 'in file order',
      vmsas: 'as in the file',
    },
    takes: { vcpus: false, cpu: false },
  },
} as const satisfies Record<Vmm, VmmProfile>;

export const vmmProfile = (vmm: Vmm): VmmProfile => VMM_PROFILES[vmm];

/**
 * VMMs that load IGVM files, but whose launch digest can't be computed from public sources. A request for one is
 * answered with the reason.
 */
export const UNSETTLED_VMMS = {
  'cloud-hypervisor-mshv':
    'Cloud Hypervisor sorts the pages by GPA there and hands the hypervisor one page of each parameter area; what the Microsoft Hypervisor measures of that is not public',
  'openvmm-kvm':
    'how OpenVMM launches SEV-SNP guests on KVM has not been shown by a run, and its order of pages and registers is not settled by its source',
} as const satisfies Record<string, string>;

type UnsettledVmm = keyof typeof UNSETTLED_VMMS;

/** Most vCPUs of a launch: KVM's own limit is 4096 (arch/x86/include/asm/kvm_host.h: KVM_MAX_VCPUS). */
const MOST_VCPUS = 4096;

/** One way to launch an SEV-SNP guest, and so one launch digest. */
export interface Launch {
  readonly vmm: Vmm | UnsettledVmm;
  /** At least 1; only if the digest depends on it. */
  readonly vcpus?: number;
  /** Only if the digest depends on it. */
  readonly cpu?: CpuModel;
  /**
   * Whose VMSAs KVM measures: those of all vCPUs, or only that of the first, as in a kernel patch that isn't merged
   * yet. Default: all.
   */
  readonly kvmMode?: KvmMode;
}

/** The launch that the documents beside an image endorse. */
export const DEFAULT_LAUNCH = { vmm: 'hyperv' } as const satisfies Launch;

/**
 * The requested launches, in the order of the request: for each count, all processors.
 * @throws IgvmError LAUNCH_INVALID for an unknown VMM or processor, an invalid count, or one that the digest does not
 *   depend on
 */
export function launchesOf({ vmm, vcpus, cpu, kvmMode }: LaunchRequest): Launch[] {
  if (Object.hasOwn(UNSETTLED_VMMS, vmm)) return [{ vmm: vmm as UnsettledVmm }];
  if (!isVmm(vmm)) throw new IgvmError('LAUNCH_INVALID', unknownVmm(vmm));
  const { takes, label } = vmmProfile(vmm);
  const unwanted = [
    ...(vcpus !== undefined && !takes.vcpus ? ['a vCPU count'] : []),
    ...(cpu !== undefined && !takes.cpu ? ['a processor model'] : []),
    ...(kvmMode !== undefined && !takes.vcpus ? ['a KVM mode'] : []),
  ];
  if (unwanted.length > 0) {
    throw new IgvmError('LAUNCH_INVALID', `the launch digest of ${label} does not depend on ${unwanted.join(' or ')}`);
  }
  if (!takes.vcpus) return [{ vmm }];
  const models = cpu?.map(parseCpu) ?? [undefined];
  return (vcpus ?? [1]).flatMap((count) => {
    if (!Number.isInteger(count) || count < 1 || count > MOST_VCPUS) {
      throw new IgvmError(
        'LAUNCH_INVALID',
        `${count} is not a valid vCPU count: use a whole number from 1 to ${MOST_VCPUS}`,
      );
    }
    return models.map((model) => ({
      vmm,
      vcpus: count,
      ...(model === undefined ? {} : { cpu: model }),
      ...(kvmMode === undefined ? {} : { kvmMode }),
    }));
  });
}

/** Every VMM that an option or manifest may name. */
export const ALL_VMM_NAMES: readonly string[] = [...VMM_NAMES, ...Object.keys(UNSETTLED_VMMS)];

const isVmm = (name: string): name is Vmm => (VMM_NAMES as readonly string[]).includes(name);

const unknownVmm = (name: string): string =>
  name === 'kvm'
    ? 'the VMM "kvm" is now split in two, which measure differently: "qemu-kvm" and "cloud-hypervisor-kvm"'
    : `"${name}" is not a VMM (known: ${ALL_VMM_NAMES.join(', ')})`;

/**
 * Reads a list of counts as in options: `1,2,4`.
 * @throws IgvmError LAUNCH_INVALID
 */
function parseVcpus(text: string): number[] {
  return text.split(',').map((part) => {
    if (!/^\d{1,4}$/.test(part.trim())) {
      throw new IgvmError('LAUNCH_INVALID', `"${text}" is not a list of vCPU counts such as 1 or 1,2,4`);
    }
    return Number(part);
  });
}

/** Launches as options of the command line and the executor. */
export interface LaunchOptions {
  /** Default: hyperv. */
  vmm?: string;
  /** `2`, or several: `1,2,4`. */
  vcpus?: string | number | readonly number[];
  /** A processor, or several: `EPYC-Milan,EPYC-Genoa`. */
  cpu?: string | readonly string[];
  kvmMode?: KvmMode;
}

/**
 * The launches that options ask for.
 * @throws IgvmError LAUNCH_INVALID
 */
export function launchesOfOptions({ vmm = DEFAULT_LAUNCH.vmm, vcpus, cpu, kvmMode }: LaunchOptions): Launch[] {
  return launchesOf({
    vmm,
    ...(vcpus === undefined ? {} : { vcpus: typeof vcpus === 'object' ? vcpus : parseVcpus(String(vcpus)) }),
    ...(cpu === undefined ? {} : { cpu: typeof cpu === 'string' ? cpu.split(',') : cpu }),
    ...(kvmMode === undefined ? {} : { kvmMode }),
  });
}

/** The name of a launch in messages: `QEMU with KVM, 2 vCPUs, EPYC-Milan`. */
export function launchLabel({ vmm, vcpus, cpu, kvmMode }: Launch): string {
  const label = isVmm(vmm) ? vmmProfile(vmm).label : vmm;
  return [
    label,
    ...(vcpus === undefined ? [] : [`${vcpus} vCPU${vcpus === 1 ? '' : 's'}`]),
    ...(cpu === undefined ? [] : [cpu.name]),
    ...(kvmMode === 'bsp-only' ? ['only the first vCPU measured'] : []),
  ].join(', ');
}

/**
 * A launch on one line, in the words of the options; equal launches have equal names: `qemu-kvm vcpus 2 cpu
 * EPYC-Milan`.
 */
export function launchName({ vmm, vcpus, cpu, kvmMode }: Launch): string {
  return [
    vmm,
    ...(vcpus === undefined ? [] : [`vcpus ${vcpus}`]),
    ...(cpu === undefined ? [] : [`cpu ${cpu.name}`]),
    ...(kvmMode === undefined ? [] : [kvmMode]),
  ].join(' ');
}

/** A launch as written in manifests and locks. */
export const launchRequest = ({ vmm, vcpus, cpu, kvmMode }: Launch): LaunchRequest => ({
  vmm,
  ...(vcpus === undefined ? {} : { vcpus: [vcpus] }),
  ...(cpu === undefined ? {} : { cpu: [cpu.name] }),
  ...(kvmMode === undefined ? {} : { kvmMode }),
});
