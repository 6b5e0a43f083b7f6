/**
 * The manifest, once: types, validation, the JSON Schema for editors and docs/manifest.md come from here.
 * Source of the shape: openvmm vm/loader/igvmfilegen_config/src/lib.rs; keys that igvmfilegen ignores are marked.
 */
import { z } from 'zod';
import { RESOURCE_NAMES, type ResourceName } from './model';
import { productPolicySchema } from './product-policy-schema';
import {
  closedStruct,
  count,
  cString,
  exact,
  flag,
  list,
  oneOfNumbers,
  patternText,
  struct,
  tagged,
  text,
  u8,
  u32,
  u64,
  variants,
  word,
} from './schema-parts';

const debuggable = flag('Whether the guest may be debugged. Attestation reports show it.');

const isolationType = variants(
  ['none'],
  [
    tagged({ vbs: struct({ enable_debug: debuggable }, 'Isolation by the hypervisor (VBS).') }),
    tagged({
      snp: struct(
        {
          shared_gpa_boundary_bits: u8(
            'Position of the address bit that divides private from shared memory. Needed by every image but ' +
              '`snp_linux_direct`, which allows none.',
          ).nullish(),
          policy: u64('The SEV-SNP guest policy; `enable_debug` sets its debug bit.'),
          enable_debug: debuggable,
          injection_type: word(
            ['normal', 'restricted'],
            'Interrupt injection of the highest privilege level; `uefi` without a paravisor needs `restricted`, ' +
              '`snp_linux_direct` needs `normal`.',
          ),
          secure_avic: word(['enabled', 'disabled'], 'Whether the hardware runs the interrupt controller.').default(
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
          sept_ve_disable: flag('Whether the guest gets no virtualization exceptions for unaccepted memory.'),
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

const linuxImage = struct(linuxKeys, 'A Linux kernel: `linux_kernel`, and `linux_initrd` when it uses an initrd.');

const directLinuxImage = struct(
  {
    ...linuxKeys,
    boot_data: word(
      ['vmm', 'embedded'],
      'Who supplies the memory map and the command line: `vmm`, parameter areas that the VMM fills; `embedded`, the ' +
        'image itself, so that it boots unchanged on any VMM that loads such images. Ignored by igvmfilegen.',
    ).default('vmm'),
    memory_size: count(
      { min: 4096n, max: 2n ** 46n },
      'Bytes of memory, a multiple of 4096. Required with `boot_data` `embedded`, which allows up to 2 GiB. Ignored by igvmfilegen.',
    ).optional(),
    processor_count: count(
      { min: 1n, max: 254n },
      'The most processors that the guest can have when the VMM gives it no ACPI tables; needs `boot_data` ' +
        '`embedded`. Ignored by igvmfilegen.',
    ).optional(),
  },
  'A Linux kernel started directly at VTL0: `linux_kernel`, and `linux_initrd` when it uses an initrd.',
);

const image = variants(
  ['none'],
  [
    tagged({
      uefi: struct(
        {
          config_type: word(
            ['none', 'igvm'],
            'Whether the firmware gets its configuration by IGVM parameters (`igvm`, x64 only).',
          ),
        },
        'UEFI firmware: `uefi`.',
      ),
    }),
    tagged({
      openhcl: struct(
        {
          command_line: text("The command line of the paravisor's kernel.").default(''),
          static_command_line: flag('Whether the host is kept from appending to the command line.').default(false),
          memory_page_base: u64(
            'Number of the first 4 KiB page of the paravisor, a multiple of 512. Without it the image can be relocated.',
          ).nullish(),
          memory_page_count: u64('4 KiB pages of the paravisor, a multiple of 512, less than 4 GiB in all.'),
          uefi: flag('Whether the guest in VTL0 is UEFI firmware (`uefi`). Not together with `linux`.').default(false),
          linux: linuxImage.nullish(),
          product_policy: productPolicySchema.nullish(),
        },
        'The OpenHCL paravisor: `underhill_kernel`, `openhcl_boot`, `underhill_initrd`, and `underhill_sidecar` when it is given.',
      ),
    }),
    tagged({ linux: directLinuxImage }),
    tagged({
      snp_linux_direct: struct(
        {
          linux: linuxImage,
          processor_count: count({ min: 1n, max: 2n ** 32n - 1n }, 'Processors of the guest.'),
          memory_page_count: exact({ min: 1n, max: 2n ** 20n - 1n }, '4 KiB pages of memory, less than 4 GiB in all.'),
          c_bit_position: count({ min: 32n, max: 51n }, 'Address bit that marks encrypted memory.'),
        },
        'A Linux kernel started directly in an SEV-SNP guest, without a paravisor.',
      ),
    }),
  ],
  'What is loaded into the guest.',
);

const guestConfig = struct(
  {
    guest_svn: u32('Security version of the guest. Endorsements carry it.'),
    max_vtl: oneOfNumbers([0n, 2n], 'Highest virtual trust level: 2 with a paravisor, otherwise 0.'),
    isolation_type: isolationType,
    image,
  },
  'One guest.',
);

export const SHA256_PATTERN = /^[0-9a-fA-F]{64}$/;
const sha256 = patternText(
  SHA256_PATTERN,
  '64 hexadecimal digits',
  'SHA-256 that the file must have; the build verifies it.',
).optional();

const path = text(
  'A path relative to the manifest, from the workspace with `{workspaceRoot}/`, or absolute; or a glob that matches ' +
    'exactly one file. A backslash takes the meaning from a special character.',
).min(1, { error: () => 'a path' });

const resource = z
  .union(
    [
      path,
      closedStruct({ path, sha256 }, 'A file, pinned when `sha256` is given.'),
      closedStruct(
        {
          project: text('The Nx project.').min(1, { error: () => 'the name of a project' }),
          target: text('The target of that project.').min(1, { error: () => 'the name of a target' }),
          path: text('The file that the target writes, relative to the workspace.').min(1, { error: () => 'a path' }),
          sha256,
        },
        'The output of another target, which is built before.',
      ),
    ],
    { error: () => 'a path, or an object with "path" (and "project" and "target" for the output of another target)' },
  )
  .meta({ id: 'resource' });

export const RESOURCE_DESCRIPTIONS: Record<ResourceName, string> = {
  uefi: 'UEFI firmware volume, for `uefi` images and for OpenHCL with `uefi`.',
  underhill_kernel: "The paravisor's kernel, for `openhcl` images.",
  openhcl_boot: 'The boot shim, for `openhcl` images.',
  underhill_initrd: "The paravisor's initrd, for `openhcl` images.",
  underhill_sidecar: 'The sidecar kernel, optional for `openhcl` images.',
  linux_kernel: 'The kernel, for Linux images.',
  linux_initrd: 'The initrd, for Linux images with `use_initrd`.',
};

const resources = closedStruct(
  Object.fromEntries(
    RESOURCE_NAMES.map((name) => [name, resource.optional().meta({ description: RESOURCE_DESCRIPTIONS[name] })]),
  ) as Record<ResourceName, z.ZodOptional<typeof resource>>,
  'The files that images are made of. Ignored by igvmfilegen, which has a file of its own for them.',
);

export const manifestSchema = struct({
  $schema: text('The JSON Schema of this file, for editors. Ignored by igvmfilegen.').optional(),
  name: text(
    "The Nx project's name, where the folder has neither project.json nor package.json. Ignored by igvmfilegen.",
  )
    .min(1, { error: () => 'a name' })
    .optional(),
  guest_arch: word(['x64', 'aarch64'], 'Architecture of all guests.'),
  guest_configs: list(guestConfig, 'The guests, at least one. Several guests share a file, one for each platform.').min(
    1,
    { error: () => 'at least one guest' },
  ),
  resources: resources.optional(),
}).meta({
  title: 'IGVM image',
  description: 'What an IGVM file is built from. The format of igvmfilegen, with a few more keys that it ignores.',
});
