/** VMMs whose launch digests can be told; src/measurement/vmm-profiles.ts has a row for each. */
export const VMM_NAMES = ['hyperv', 'qemu-kvm', 'cloud-hypervisor-kvm', 'vanadium'] as const;
export type Vmm = (typeof VMM_NAMES)[number];

/** Whose VMSAs KVM measures: those of all vCPUs, or of the first alone, as an unfinished change of the kernel has it. */
export const KVM_MODES = ['all-vcpus', 'bsp-only'] as const;
export type KvmMode = (typeof KVM_MODES)[number];

/** Launches as manifest, lock and options state them: every count with every processor. */
export interface LaunchRequest {
  vmm: string;
  vcpus?: readonly number[];
  cpu?: readonly string[];
  kvmMode?: KvmMode;
}
