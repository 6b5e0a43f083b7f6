import * as z from 'zod/mini';
import { KVM_MODE_MEANINGS, type SecureBootProfile, VMM_MEANINGS } from './model';
import { resources } from './resources-schema';
import {
  closedStruct,
  count,
  cString,
  exact,
  flag,
  nullish,
  oneOfNumbers,
  optional,
  patternText,
  someOf,
  someText,
  struct,
  tagged,
  text,
  textThat,
  u32,
  u64,
  u8,
  variants,
  withDefault,
  word,
} from './schema-parts';

/** OpenHCL's measured product policies. Source: openvmm openhcl/product_policy/src. Unknown keys are errors there. */

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const phrase = 'base64 text of the standard alphabet with padding';

/** Bits that padding leaves unused must be zero, as the decoder of upstream demands. */
const isCanonical = (value: string) => Buffer.from(value, 'base64').toString('base64') === value;

const uefiKeys = {
  require_ephemeral_vmgs: flag('Reserved: demand an ephemeral guest state.'),
  require_secure_boot: flag('Demand secure boot.'),
  require_secure_boot_vars: flag('Reserved: demand the secure boot variables.'),
  require_bcd_integrity: flag('Reserved: demand the hash of the boot configuration data.'),
  custom_uefi_json: z
    .string({ error: () => phrase })
    .check(z.refine((value) => BASE64.test(value) && isCanonical(value), { error: () => phrase }))
    .register(z.globalRegistry, {
      description:
        'Custom UEFI JSON in base64. May be empty unless secure boot and one of its reserved demands are set.',
    }),
};

export const productPolicySchema = variants(
  {},
  [
    tagged({ sivm: closedStruct(uefiKeys, 'The Sivm product.') }),
    tagged({
      cwcow: closedStruct(
        { ...uefiKeys, require_secure_avic: flag('Reserved: demand secure AVIC.') },
        'The Cwcow product.',
      ),
    }),
  ],
  "A policy that becomes part of the paravisor's measured configuration.",
);

/**
 * The manifest, once: types, validation, the JSON Schema for editors and docs/manifest.md come from here.
 * Source of the shape: openvmm vm/loader/igvmfilegen_config/src/lib.rs; keys that igvmfilegen ignores are marked.
 */

const debuggable = flag('Whether the host may debug the guest. Attestation reports show it.');

const isolationType = variants(
  { none: 'No isolation: the host can read and change everything in the guest.' },
  [
    tagged({ vbs: struct({ enable_debug: debuggable }, 'Isolation by the hypervisor (VBS).') }),
    tagged({
      snp: struct(
        {
          shared_gpa_boundary_bits: nullish(
            u8(
              'Position of the address bit that separates private from shared memory. Required by every image except ' +
                '`snp_linux_direct` and `ovmf`, which do not allow it.',
            ),
          ),
          policy: u64('The SEV-SNP guest policy; `enable_debug` sets its debug bit.'),
          enable_debug: debuggable,
          injection_type: word(
            {
              normal:
                'The hypervisor may inject any interrupt or exception. For guests under a paravisor, and for `snp_linux_direct`.',
              restricted:
                'The hypervisor may inject only a doorbell (`#HV`), and the guest asks for its reason. Required by `uefi` without a ' +
                'paravisor; allowed for `snp_linux_direct` only with the resource `snp_bootshim`, and never for `ovmf`.',
            },
            'What the hypervisor may inject into the highest privilege level of the guest.',
          ),
          secure_avic: withDefault(
            word(
              {
                enabled: 'The processor runs it, if it can. The hypervisor can neither see nor forge interrupts.',
                disabled: 'The hypervisor or the paravisor runs it.',
              },
              'Whether the hardware runs the interrupt controller (Secure AVIC).',
            ),
            'disabled',
          ),
        },
        'AMD SEV-SNP.',
      ),
    }),
    tagged({
      tdx: struct(
        {
          enable_debug: debuggable,
          sept_ve_disable: flag('Whether virtualization exceptions for unaccepted memory are disabled.'),
        },
        'Intel TDX.',
      ),
    }),
  ],
  'How the guest is isolated from its host. `"none"` is a guest without isolation.',
);

const linuxKeys = {
  use_initrd: flag('Whether the initrd `linux_initrd` is loaded.'),
  command_line: cString('The kernel command line.'),
};

const linuxImage = struct(linuxKeys, 'A Linux kernel: `linux_kernel`, and `linux_initrd` if it uses an initrd.');

const directLinuxImage = struct(
  {
    ...linuxKeys,
    boot_data: withDefault(
      word(
        {
          vmm: 'The VMM, which fills parameter areas of the image. Few VMMs support this.',
          embedded:
            'The image itself, so that it boots unchanged on any VMM that loads such images. Needs `memory_size`.',
        },
        'Who supplies the memory map and the command line. Ignored by igvmfilegen.',
      ),
      'vmm',
    ),
    memory_size: optional(
      count(
        { min: 4096n, max: 2n ** 46n },
        'Bytes of memory, a multiple of 4096. Required with `boot_data` `embedded`, which allows at most 2 GiB. Ignored by igvmfilegen.',
      ),
    ),
    processor_count: optional(
      count(
        { min: 1n, max: 254n },
        'The largest number of processors on a VMM that provides no ACPI tables. The image then contains ACPI tables, and an MP ' +
          'table for kernels before 5.0. Needs `boot_data` `embedded`. Ignored by igvmfilegen.',
      ),
    ),
  },
  'A Linux kernel started directly at VTL0: `linux_kernel`, and `linux_initrd` if it uses an initrd.',
);

const PROFILE_MEANINGS: Record<SecureBootProfile, string> = {
  none: 'None. `hashes` or the resource `secure_boot_db` decide what may start.',
  win11: 'Windows, signed with the certificates of 2011 or 2023.',
  win23: 'Windows, signed with the certificate of 2023.',
  'win+rom23': 'Windows and option ROMs, signed with the certificates of 2023.',
  uefi11:
    "Third-party programs that Microsoft signed with the certificates of 2011 or 2023: the shim of most distributions. igvm-update's default.",
  uefi23: 'Third-party programs that Microsoft signed with the certificate of 2023.',
  'uefi+rom23': 'Third-party programs and option ROMs that Microsoft signed with the certificates of 2023.',
  redhat: 'Programs that Red Hat signed with its CA of 2024.',
  'redhat+rom':
    'Programs that Red Hat signed with its CA of 2024, and option ROMs that Microsoft signed with the certificate of 2023.',
  all: 'Everything that Microsoft signed: Windows, third-party programs and option ROMs.',
};

/** Images that igvmfilegen doesn't know. */
const ovmfImage = struct(
  {
    boot_mode: withDefault(
      word(
        {
          real16: 'At the reset vector, as on real hardware.',
          flat32: "In protected mode, from registers in the image. The firmware's 16-bit code is skipped.",
        },
        'Where the firmware starts.',
      ),
      'real16',
    ),
    parameters: withDefault(
      flag('Whether the VMM fills in the memory map and the number of processors, if the firmware asks for them.'),
      true,
    ),
    secure_boot: nullish(
      struct(
        {
          profile: withDefault(
            word(
              PROFILE_MEANINGS,
              "The public certificates in db, by the name of virtfw's profile. They are part of this package.",
            ),
            'none',
          ),
          hashes: withDefault(
            flag(
              'Whether db contains the Authenticode hashes of `shim` and of `uki` or `linux_kernel`, so that exactly these programs may start.',
            ),
            false,
          ),
        },
        'Secure Boot: the image contains PK, KEK, db and dbx, which are measured. The firmware checks `shim`, `uki` and `linux_kernel`, which ' +
          'are then not measured. The resources `secure_boot_pk`, `secure_boot_kek` and `secure_boot_dbx` replace the built-in keys of Red ' +
          'Hat and Microsoft and the built-in revocations. `secure_boot_db` is added to the profile. db must not be empty.',
      ),
    ),
  },
  'OVMF, the UEFI firmware for QEMU: `ovmf_code` and, if they are given, `ovmf_vars` and the programs that it starts: `shim`, and `uki` or ' +
    '`linux_kernel`. A guest without isolation and one under SEV-SNP can share a file and most of its pages. Not known to igvmfilegen.',
);

const image = variants(
  { none: 'Nothing is loaded; the image has only headers.' },
  [
    tagged({
      uefi: struct(
        {
          config_type: word(
            {
              none: 'Not from the image.',
              igvm: 'From parameters of the image, which the VMM fills. x64 only.',
            },
            'How the firmware gets its configuration.',
          ),
        },
        'UEFI firmware: `uefi`.',
      ),
    }),
    tagged({
      openhcl: struct(
        {
          command_line: withDefault(text("The command line of the paravisor's kernel."), ''),
          static_command_line: withDefault(
            flag('Whether the host is prevented from appending to the command line.'),
            false,
          ),
          memory_page_base: nullish(
            u64(
              'Number of the first 4 KiB page of the paravisor, a multiple of 512. Without it, the VMM may relocate the image.',
            ),
          ),
          memory_page_count: u64(
            'Number of 4 KiB pages of the paravisor: a multiple of 512, less than 4 GiB in total.',
          ),
          uefi: withDefault(
            flag('Whether the guest in VTL0 is UEFI firmware (`uefi`). Not together with `linux`.'),
            false,
          ),
          linux: nullish(linuxImage),
          product_policy: nullish(productPolicySchema),
        },
        'The OpenHCL paravisor: `underhill_kernel`, `openhcl_boot`, `underhill_initrd`, and `underhill_sidecar` if it is given.',
      ),
    }),
    tagged({ linux: directLinuxImage }),
    tagged({
      snp_linux_direct: struct(
        {
          linux: linuxImage,
          processor_count: count({ min: 1n, max: 2n ** 32n - 1n }, 'Number of processors of the guest.'),
          memory_page_count: exact(
            { min: 1n, max: 2n ** 20n - 1n },
            'Number of 4 KiB pages of memory, less than 4 GiB in total.',
          ),
          c_bit_position: count({ min: 32n, max: 51n }, 'Address bit that marks encrypted memory.'),
        },
        'A Linux kernel started directly in an SEV-SNP guest, without a paravisor.',
      ),
    }),
    tagged({ ovmf: ovmfImage }),
  ],
  'What is loaded into the guest.',
);

const guestConfig = struct(
  {
    guest_svn: u32('Security version of the guest, which endorsements contain.'),
    max_vtl: oneOfNumbers(
      { 0: 'The guest alone.', 2: 'A paravisor at VTL2, above its guest at VTL0.' },
      'Highest virtual trust level: 2 with a paravisor, otherwise 0. Without effect on `ovmf` images.',
    ),
    isolation_type: isolationType,
    image,
  },
  'One guest.',
);

function isRegularExpression(value: string): boolean {
  try {
    return new RegExp(value, 'm') instanceof RegExp;
  } catch {
    return false;
  }
}

const bootTest = closedStruct(
  {
    until: optional(
      textThat(
        isRegularExpression,
        'a regular expression',
        "A regular expression that the guest's serial output must match. Without it, the guest must end by itself.",
      ),
    ),
    timeout: optional(
      count({ min: 1n, max: 2_000_000n }, 'The longest time that the test may take, in seconds. Default: 120.'),
    ),
  },
  'What must happen when the image boots. With this key, the target `boot-test` is inferred. Not part of the image; ignored by igvmfilegen.',
);

/** A processor of QEMU: a model, a signature, or family, model and stepping (src/measurement/kvm-vmsa.ts). */
const CPU = /^(?:EPYC[A-Za-z0-9-]*|0x[0-9a-fA-F]{1,8}|(?:0x)?[0-9a-fA-F]{1,3}(?:\/(?:0x)?[0-9a-fA-F]{1,3}){2})$/;

const launch = closedStruct(
  {
    vmm: word(VMM_MEANINGS, 'The VMM. Each computes the launch digest in its own way.'),
    vcpus: optional(
      someOf(
        count({ min: 1n, max: 4096n }, 'A count.'),
        'at least one count',
        'Numbers of vCPUs, for VMMs on KVM. Default: 1.',
      ),
    ),
    cpu: optional(
      someOf(
        patternText(CPU, 'a model such as EPYC-Milan, a signature such as 0x00a00f11, or 25/1/1', 'A processor.'),
        'at least one processor',
        'Processors, for QEMU: models, signatures, or family/model/stepping.',
      ),
    ),
    kvm_mode: optional(word(KVM_MODE_MEANINGS, 'Whose VMSAs KVM measures. Default: `all-vcpus`.')),
  },
  'A launch of the SEV-SNP guest. It has a digest for each number of vCPUs with each processor.',
);

export const manifestSchema = struct({
  $schema: optional(text('The JSON Schema of this file, for editors. Ignored by igvmfilegen.')),
  name: optional(
    someText(
      'a name',
      "The Nx project's name, if the folder has neither project.json nor package.json. Ignored by igvmfilegen.",
    ),
  ),
  guest_arch: word({ x64: 'AMD and Intel, 64 bits.', aarch64: 'ARM, 64 bits.' }, 'Architecture of all guests.'),
  guest_configs: someOf(
    guestConfig,
    'at least one guest',
    'The guests of the image, at least one. A file can hold one guest for each platform.',
  ),
  embed_corim: optional(
    flag(
      'Whether the image contains its CoRIM documents. They are written beside it either way, and launch digests do not change. ' +
        "QEMU and Cloud Hypervisor can't read an image with them. Default: true. Ignored by igvmfilegen.",
    ),
  ),
  launches: optional(
    someOf(
      launch,
      'at least one launch',
      'The launches of SEV-SNP guests that `measure`, the lock and `verify` cover. Default: Hyper-V. Not part of the image, so a change ' +
        'needs no build. Ignored by igvmfilegen.',
    ),
  ),
  boot_test: optional(bootTest),
  resources: optional(resources),
}).register(z.globalRegistry, {
  title: 'IGVM image',
  description: 'What an IGVM file is built from, in the format of igvmfilegen with a few more keys, which it ignores.',
});
