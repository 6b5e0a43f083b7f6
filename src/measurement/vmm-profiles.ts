import { type Directive, type InitializationHeader, PAGE_DATA_TYPE, type ParameterKind } from '../igvm/model';
import type { Vmm } from '../manifest/model';
import { CLOUD_HYPERVISOR_VCPUS, QEMU_VCPUS, type VcpuState } from './kvm-vmsa';

/** How sure a profile is. */
export type Evidence =
  /** The real program was run and what it asked to be measured recorded, or independent tools agree. */
  | 'tried'
  /** One other tool says so. */
  | 'one source';

/** What a VMM measures of an SEV-SNP guest, and in which order. */
export interface LaunchRules {
  /** PAGE_TYPE of a normal page without data: measured like a page of zeros, or as the firmware's type ZERO. */
  readonly emptyPages: 'normal' | 'zero';
  /** Pages with the shared flag. */
  readonly sharedPages: 'left out' | 'measured';
  /** Pages of 4 KiB that a page with the 2 MiB flag counts as. */
  readonly largePage: 1 | 512;
  /** Whether parameter areas come in file order, or before the run of pages that QEMU is gathering (backends/igvm.c). */
  readonly inserts: 'in file order' | 'before the open run';
  /** VMSAs as the file has them, where it has them; or one for each vCPU behind all pages, as KVM makes them. */
  readonly vmsas: 'as in the file' | VcpuState;
}

/** What a VMM loads. What isn't named here it refuses. */
export interface LoadRules {
  /** Whether other platforms may be in the file. */
  readonly otherPlatforms: boolean;
  readonly initializations: readonly InitializationHeader['type'][];
  readonly directives: readonly Directive['type'][];
  readonly parameters: readonly ParameterKind[];
  readonly pageTypes: readonly number[];
  /** Which of the checks of VP contexts apply (load-refusals.ts). */
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
  /** Whether the digest depends on the count of vCPUs, and on the model of the processor. */
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

/** The VMMs whose launch digests can be told, one a row. docs/launch-digests.md says where each row comes from. */
export const VMM_PROFILES = {
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
 * VMMs that load IGVM files and whose launch digest can't be told from what is public. Asking for one is answered with the
 * reason.
 */
export const UNSETTLED_VMMS = {
  'cloud-hypervisor-mshv':
    'Cloud Hypervisor sorts the pages by GPA there and hands the hypervisor one page of each parameter area; what the Microsoft Hypervisor measures of that is not public',
  'openvmm-kvm':
    'how OpenVMM launches SEV-SNP guests on KVM has not been shown by a run, and its order of pages and registers is not settled by its source',
} as const satisfies Record<string, string>;

export type UnsettledVmm = keyof typeof UNSETTLED_VMMS;
