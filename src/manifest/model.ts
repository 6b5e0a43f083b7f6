/** VMMs whose launch digests can be computed; src/measurement/launches.ts has a row for each. */
export const VMM_NAMES = ['hyperv', 'qemu-kvm', 'cloud-hypervisor-kvm', 'vanadium'] as const;
export type Vmm = (typeof VMM_NAMES)[number];

/** The vCPUs whose VMSAs KVM measures: all of them, or only the first one, as in an unfinished change to the kernel. */
export const KVM_MODES = ['all-vcpus', 'bsp-only'] as const;
export type KvmMode = (typeof KVM_MODES)[number];

/** A description of each VMM, for editors and the reference. */
export const VMM_MEANINGS: Record<Vmm, string> = {
  hyperv: 'Hyper-V, and OpenVMM on it: VMSAs as the image has them.',
  'qemu-kvm': 'QEMU on KVM: a VMSA for each vCPU, made by KVM. Depends on the number of vCPUs and on the processor.',
  'cloud-hypervisor-kvm': 'Cloud Hypervisor on KVM: a VMSA for each vCPU, made by KVM. Depends on the number of vCPUs.',
  vanadium: "Google's Vanadium, according to one other tool.",
};
export const KVM_MODE_MEANINGS: Record<KvmMode, string> = {
  'all-vcpus': 'Those of all vCPUs, as in every released kernel.',
  'bsp-only': 'Only that of the first vCPU, as in an unfinished change to the kernel.',
};

/** Launches in the form of manifests, locks and options: each count of vCPUs with each processor. */
export interface LaunchRequest {
  vmm: string;
  vcpus?: readonly number[];
  cpu?: readonly string[];
  kvmMode?: KvmMode;
}

/**
 * The manifest after validation, as loaders get it. The zod schemas in this folder infer exactly these types, which a type test checks.
 * This file imports no code, so that every module can use it. Source of the format: openvmm vm/loader/igvmfilegen_config/src/lib.rs.
 * `$schema`, `name`, `resources`, `embed_corim`, `launches`, `boot_test`, the last three keys of a linux image, and ovmf images are
 * extensions of nx-igvm (docs/manifest.md).
 */

export interface Manifest {
  /** For editors. Ignored by the build. */
  $schema?: string;
  /** The Nx project's name, if the folder has neither project.json nor package.json. */
  name?: string;
  guest_arch: 'x64' | 'aarch64';
  guest_configs: GuestConfig[];
  /** Whether the image contains its CoRIM documents, which are written beside it either way. Default: true. */
  embed_corim?: boolean;
  /** The launches of SEV-SNP guests that measure, lock and verify cover. Ignored by the build. */
  launches?: { vmm: Vmm; vcpus?: number[]; cpu?: string[]; kvm_mode?: KvmMode }[];
  /** What `nx boot-test` checks. Ignored by the build. */
  boot_test?: { until?: string; timeout?: number };
  resources?: Partial<Record<ResourceName, Resource>>;
}

export interface GuestConfig {
  /** u32. */
  guest_svn: number;
  /** 0 or 2. */
  max_vtl: number;
  isolation_type: IsolationType;
  image: Image;
}

export type IsolationType =
  | 'none'
  | { vbs: { enable_debug: boolean } }
  | { snp: SnpIsolation }
  | { tdx: { enable_debug: boolean; sept_ve_disable: boolean } };

export interface SnpIsolation {
  shared_gpa_boundary_bits?: number | null;
  /** u64. */
  policy: bigint;
  enable_debug: boolean;
  injection_type: 'normal' | 'restricted';
  /** Default "disabled". */
  secure_avic: 'enabled' | 'disabled';
}

export type Image =
  | 'none'
  | { uefi: { config_type: 'none' | 'igvm' } }
  | { openhcl: OpenhclImage }
  | { linux: DirectLinuxImage }
  | { snp_linux_direct: SnpLinuxDirectImage }
  | { ovmf: OvmfImage };

export interface LinuxImage {
  use_initrd: boolean;
  command_line: string;
}

export interface DirectLinuxImage extends LinuxImage {
  /** Whether the VMM or the image supplies the memory map and the command line. Default: "vmm". */
  boot_data: 'vmm' | 'embedded';
  /** Bytes. */
  memory_size?: number;
  processor_count?: number;
}

export interface OpenhclImage {
  /** Default "". */
  command_line: string;
  /** Default false. */
  static_command_line: boolean;
  /** Page number; absent: relocatable. u64. */
  memory_page_base?: bigint | null;
  /** u64. */
  memory_page_count: bigint;
  /** Default false. */
  uefi: boolean;
  linux?: LinuxImage | null;
  product_policy?: ProductPolicy | null;
}

export interface SnpLinuxDirectImage {
  linux: LinuxImage;
  /** u32, not 0. */
  processor_count: number;
  /** Not 0, and less than 4 GiB in total. */
  memory_page_count: bigint;
  /** Address bit, 32 to 51. */
  c_bit_position: number;
}

/** OVMF for QEMU, in the layout of `nx-igvm wrap` and `update`. Not known to igvmfilegen. */
export interface OvmfImage {
  /** Default "real16". */
  boot_mode: 'real16' | 'flat32';
  /** Default true. */
  parameters: boolean;
  secure_boot?: SecureBoot | null;
}

/** What Secure Boot accepts, in addition to the keys among the resources. */
export interface SecureBoot {
  /** Default "none". */
  profile: SecureBootProfile;
  /** Default false. */
  hashes: boolean;
}

/** Sets of public certificates for db, listed in src/loader/ovmf/secure-boot.ts. The names are those of virtfw. */
export const SECURE_BOOT_PROFILES = [
  'none',
  'win11',
  'win23',
  'win+rom23',
  'uefi11',
  'uefi23',
  'uefi+rom23',
  'redhat',
  'redhat+rom',
  'all',
] as const;

export type SecureBootProfile = (typeof SECURE_BOOT_PROFILES)[number];

/** Source of the format: openvmm openhcl/product_policy/src. A new product is a new key. */
export type ProductPolicy = { sivm: SivmPolicy } | { cwcow: CwcowPolicy };

export type SivmPolicy = {
  require_ephemeral_vmgs: boolean;
  require_secure_boot: boolean;
  require_secure_boot_vars: boolean;
  require_bcd_integrity: boolean;
  /** Standard base64 with padding; may be empty. */
  custom_uefi_json: string;
};

export type CwcowPolicy = SivmPolicy & { require_secure_avic: boolean };

export const RESOURCE_NAMES = [
  'uefi',
  'underhill_kernel',
  'openhcl_boot',
  'underhill_initrd',
  'underhill_sidecar',
  'linux_kernel',
  'linux_initrd',
  'linux_command_line',
  'snp_bootshim',
  'ovmf_code',
  'ovmf_vars',
  'shim',
  'uki',
  'secure_boot_pk',
  'secure_boot_kek',
  'secure_boot_db',
  'secure_boot_dbx',
] as const;

export type ResourceName = (typeof RESOURCE_NAMES)[number];

/** A resource as written in the manifest. */
export type Resource =
  | string
  | { path: string; sha256?: string }
  | { project: string; target: string; path: string; sha256?: string }
  | { url: string; sha256?: string; member?: string };
