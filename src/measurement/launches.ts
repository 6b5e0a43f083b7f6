import { IgvmError } from '../errors/igvm-error';
import type { DirectiveObserver } from '../igvm/stream';
import { type KvmMode, type LaunchRequest, type Vmm, VMM_NAMES } from '../manifest/model';
import { type CpuModel, parseCpu } from './kvm-vmsa';
import type { LoadRefusal } from './load-refusals';
import { UNSETTLED_VMMS, type UnsettledVmm, vmmProfile } from './vmm-profiles';

/** What one launch of a guest measures. */
export interface LaunchResult {
  /** Undefined where the digest doesn't depend on what launches the guest. */
  readonly launch?: Launch;
  /** Undefined when the VMM refuses the file. With refusals that are late, what would have been measured. */
  readonly digest?: Uint8Array;
  /** Why there is no such guest. */
  readonly refusals: readonly LoadRefusal[];
  /** What the VMM does otherwise than the file says. */
  readonly warnings: readonly string[];
}

/** The launch measurements of one platform, computed while the guest's directives stream by in file order. */
export interface LaunchDigests extends DirectiveObserver {
  readonly compatibilityMask: number;
  /** One for each launch that was asked for, in that order. Called once, after the last directive. */
  results(): Promise<LaunchResult[]>;
  /** Ends worker threads. Needed only when `results` is never called, because the pass over the guest failed. */
  close(): Promise<void>;
}

/** Whether a directive is part of the guest that is measured; directives without a mask belong to all guests. */
export function isForPlatform(directive: object, compatibilityMask: number): boolean {
  if (!('compatibilityMask' in directive) || typeof directive.compatibilityMask !== 'number') return true;
  // Without sign: what `&` gives is negative when both have bit 31, and then no mask.
  return (directive.compatibilityMask & compatibilityMask) >>> 0 === compatibilityMask;
}

/** A digest as reports, documents and locks show it: upper-case hexadecimal, as igvmfilegen has it. */
export const digestHex = (digest: Uint8Array): string => Buffer.from(digest).toString('hex').toUpperCase();

/** vCPUs that a launch may have: KVM's own limit is 4096 (arch/x86/include/asm/kvm_host.h: KVM_MAX_VCPUS). */
const MOST_VCPUS = 4096;

/** One way in which an SEV-SNP guest is launched, and so one launch digest. */
export interface Launch {
  readonly vmm: Vmm | UnsettledVmm;
  /** From 1; only where the digest depends on it. */
  readonly vcpus?: number;
  /** Only where the digest depends on it. */
  readonly cpu?: CpuModel;
  /**
   * Whose VMSAs KVM measures: those of all vCPUs, or of the first alone, as an unfinished change of the kernel has it.
   * Default: all.
   */
  readonly kvmMode?: KvmMode;
}

/** The launch that a file's own documents endorse. */
export const DEFAULT_LAUNCH = { vmm: 'hyperv' } as const satisfies Launch;

/**
 * The launches that are asked for, in the order of the request; counts before processors.
 * @throws IgvmError LAUNCH_INVALID for a VMM, count or processor that is none, or that the VMM does not depend on
 */
export function launchesOf({ vmm, vcpus, cpu, kvmMode }: LaunchRequest): Launch[] {
  if (Object.hasOwn(UNSETTLED_VMMS, vmm)) return [{ vmm: vmm as UnsettledVmm }];
  if (!isVmm(vmm)) throw new IgvmError('LAUNCH_INVALID', unknownVmm(vmm));
  const { takes, label } = vmmProfile(vmm);
  const unwanted = [
    ...(vcpus !== undefined && !takes.vcpus ? ['a count of vCPUs'] : []),
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
      throw new IgvmError('LAUNCH_INVALID', `${count} is not a count of vCPUs: a whole number from 1 to ${MOST_VCPUS}`);
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
    ? 'the VMM "kvm" is now two, as each measures in its own way: "qemu-kvm" and "cloud-hypervisor-kvm"'
    : `"${name}" is not a VMM (known: ${ALL_VMM_NAMES.join(', ')})`;

/**
 * Reads a list of counts as options state it: `1,2,4`.
 * @throws IgvmError LAUNCH_INVALID
 */
export function parseVcpus(text: string): number[] {
  return text.split(',').map((part) => {
    if (!/^\d{1,4}$/.test(part.trim())) {
      throw new IgvmError('LAUNCH_INVALID', `"${text}" is not a list of vCPU counts such as 1 or 1,2,4`);
    }
    return Number(part);
  });
}

/** Launches as the command line and the executor state them. */
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

/** What messages call a launch: `QEMU with KVM, 2 vCPUs, EPYC-Milan`. */
export function launchLabel({ vmm, vcpus, cpu, kvmMode }: Launch): string {
  const label = isVmm(vmm) ? vmmProfile(vmm).label : vmm;
  return [
    label,
    ...(vcpus === undefined ? [] : [`${vcpus} vCPU${vcpus === 1 ? '' : 's'}`]),
    ...(cpu === undefined ? [] : [cpu.name]),
    ...(kvmMode === 'bsp-only' ? ['first vCPU alone measured'] : []),
  ].join(', ');
}

/** A launch in the words of options, on one line, the same for the same launch: `qemu-kvm vcpus 2 cpu EPYC-Milan`. */
export function launchName({ vmm, vcpus, cpu, kvmMode }: Launch): string {
  return [
    vmm,
    ...(vcpus === undefined ? [] : [`vcpus ${vcpus}`]),
    ...(cpu === undefined ? [] : [`cpu ${cpu.name}`]),
    ...(kvmMode === undefined ? [] : [kvmMode]),
  ].join(' ');
}

/** A launch as manifests and locks state it. */
export const launchRequest = ({ vmm, vcpus, cpu, kvmMode }: Launch): LaunchRequest => ({
  vmm,
  ...(vcpus === undefined ? {} : { vcpus: [vcpus] }),
  ...(cpu === undefined ? {} : { cpu: [cpu.name] }),
  ...(kvmMode === undefined ? {} : { kvmMode }),
});
