/** VMMs whose launch digests can be told; src/measurement/vmm-profiles.ts has a row for each. */
export const VMM_NAMES = ['hyperv', 'qemu-kvm', 'cloud-hypervisor-kvm', 'vanadium'] as const;
export type Vmm = (typeof VMM_NAMES)[number];

/** Whose VMSAs KVM measures: those of all vCPUs, or of the first alone, as an unfinished change of the kernel has it. */
export const KVM_MODES = ['all-vcpus', 'bsp-only'] as const;
export type KvmMode = (typeof KVM_MODES)[number];

/** What each of them is, for editors and the reference. */
export const VMM_MEANINGS: Record<Vmm, string> = {
  hyperv: 'Hyper-V, and OpenVMM on it: VMSAs as the image has them.',
  'qemu-kvm': 'QEMU on KVM: a VMSA for each vCPU, made by KVM. Depends on the count of vCPUs and on the processor.',
  'cloud-hypervisor-kvm': 'Cloud Hypervisor on KVM: a VMSA for each vCPU, made by KVM. Depends on the count of vCPUs.',
  vanadium: "Google's Vanadium, by what one other tool says.",
};
export const KVM_MODE_MEANINGS: Record<KvmMode, string> = {
  'all-vcpus': 'Those of all vCPUs, as every released kernel has it.',
  'bsp-only': 'That of the first vCPU alone, as an unfinished change of the kernel has it.',
};

/** Launches as manifest, lock and options state them: every count with every processor. */
export interface LaunchRequest {
  vmm: string;
  vcpus?: readonly number[];
  cpu?: readonly string[];
  kvmMode?: KvmMode;
}
