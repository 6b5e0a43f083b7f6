import fc from 'fast-check';

/** A manifest and the resources that it may use, as files of the conformance suite's inputs. */
export interface RandomManifest {
  manifest: object;
  resources: Record<string, string>;
}

const svn = fc.oneof(fc.constantFrom(0, 1, 2 ** 32 - 1), fc.nat());
const commandLine = fc.oneof(
  fc.constantFrom('', 'console=ttyS0', 'OPENHCL_BOOT_LOG=com3'),
  fc.stringMatching(/^[a-zA-Z0-9=,. "\\_-]{0,200}$/),
);
const policy = fc.constantFrom(0x30000, 0x3001f, 0xb0000, 0);

const snp = fc.record({
  shared_gpa_boundary_bits: fc.constantFrom(39, 46, 47),
  policy,
  enable_debug: fc.boolean(),
  injection_type: fc.constantFrom('normal', 'restricted'),
  secure_avic: fc.constantFrom('enabled', 'disabled'),
});
const tdx = fc.record({ enable_debug: fc.boolean(), sept_ve_disable: fc.boolean() });
const vbs = fc.record({ enable_debug: fc.boolean() });

const linux = fc.record({ use_initrd: fc.boolean(), command_line: commandLine });

/** Memory in whole 2 MiB, enough for the small inputs. */
const memoryPages = fc.integer({ min: 32, max: 256 }).map((count) => count * 512);

const openhclX64 = fc.record(
  {
    command_line: commandLine,
    static_command_line: fc.boolean(),
    memory_page_base: fc.option(fc.integer({ min: 64, max: 512 }).map((count) => count * 512)),
    memory_page_count: memoryPages,
    uefi: fc.boolean(),
  },
  { requiredKeys: ['command_line', 'memory_page_count'] },
);

const isolatedGuests = fc
  .subarray(['vbs', 'snp', 'tdx'] as const, { minLength: 1 })
  .chain((kinds) => fc.shuffledSubarray(kinds, { minLength: kinds.length }))
  .chain((kinds) =>
    fc.tuple(
      ...kinds.map((kind) =>
        fc.record({
          guest_svn: svn,
          max_vtl: fc.constant(2),
          isolation_type: fc.record<object>({ [kind]: { vbs, snp, tdx }[kind] }),
          image: fc.record({ openhcl: openhclX64 }),
        }),
      ),
    ),
  );

const plainOpenhcl = fc
  .record({ guest_svn: svn, openhcl: openhclX64, linux: fc.option(linux, { nil: undefined }) })
  .map(({ guest_svn, openhcl, linux: vtl0 }) => [
    { guest_svn, max_vtl: 2, isolation_type: 'none', image: { openhcl: { ...openhcl, ...(vtl0 && { linux: vtl0 }) } } },
  ]);

const uefiGuests = fc.constantFrom('none', 'igvm').chain((configType) =>
  fc
    .subarray(['none', 'snp', 'tdx'] as const, { minLength: 1 })
    .map((kinds) => (kinds.includes('none') ? (['none'] as const) : kinds))
    .chain((kinds) =>
      fc.tuple(
        ...kinds.map((kind) =>
          fc.record({
            guest_svn: svn,
            max_vtl: fc.constant(0),
            isolation_type:
              kind === 'none'
                ? fc.constant('none')
                : fc.record<object>({
                    [kind]: kind === 'tdx' ? tdx : snp.map((each) => ({ ...each, injection_type: 'restricted' })),
                  }),
            image: fc.constant({ uefi: { config_type: configType } }),
          }),
        ),
      ),
    ),
);

const snpLinuxDirect = fc
  .record({
    guest_svn: svn,
    policy,
    enable_debug: fc.boolean(),
    linux,
    processor_count: fc.integer({ min: 1, max: 64 }),
    memory_page_count: fc.integer({ min: 6000, max: 9000 }),
    c_bit_position: fc.constantFrom(47, 51),
  })
  .map(({ guest_svn, policy: bits, enable_debug, ...image }) => [
    {
      guest_svn,
      max_vtl: 0,
      isolation_type: {
        snp: { policy: bits, enable_debug, injection_type: 'normal', secure_avic: 'disabled' },
      },
      image: { snp_linux_direct: image },
    },
  ]);

/** Not igvmfilegen's: a NATIVE guest, alone in its file. */
const directLinux = fc
  .record(
    {
      use_initrd: fc.boolean(),
      command_line: commandLine,
      boot_data: fc.constantFrom('vmm', 'embedded'),
      memory_size: fc.integer({ min: 32, max: 1024 }).map((mebibytes) => mebibytes * 2 ** 20),
      processor_count: fc.integer({ min: 1, max: 64 }),
    },
    { requiredKeys: ['use_initrd', 'command_line', 'memory_size'] },
  )
  .map((linuxImage) => [{ guest_svn: 1, max_vtl: 0, isolation_type: 'none', image: { linux: linuxImage } }]);

const openhclArm64 = fc
  .record({ guest_svn: svn, command_line: commandLine, memory_page_count: memoryPages, useUefi: fc.boolean(), linux })
  .map(({ guest_svn, command_line, memory_page_count, useUefi, linux: vtl0 }) => [
    {
      guest_svn,
      max_vtl: 2,
      isolation_type: 'none',
      image: { openhcl: { command_line, memory_page_count, uefi: useUefi, ...(useUefi ? {} : { linux: vtl0 }) } },
    },
  ]);

const X64_RESOURCES = fc.record(
  {
    uefi: fc.constantFrom('MSVM-x64-pe.fd', 'MSVM-x64-te.fd'),
    underhill_kernel: fc.constant('vmlinux-x64.elf'),
    openhcl_boot: fc.constant('openhcl_boot-x64.elf'),
    underhill_initrd: fc.constantFrom('initrd-small.bin', 'initrd-aligned.bin'),
    underhill_sidecar: fc.constant('sidecar-x64.elf'),
    linux_kernel: fc.constantFrom('vmlinux-x64.elf', 'vmlinux-x64-unaligned.elf'),
    linux_initrd: fc.constantFrom('initrd-small.bin', 'initrd-aligned.bin'),
  },
  {
    requiredKeys: ['uefi', 'underhill_kernel', 'openhcl_boot', 'underhill_initrd', 'linux_kernel', 'linux_initrd'],
  },
);

const ARM64_RESOURCES = fc.constant({
  uefi: 'MSVM-aarch64.fd',
  underhill_kernel: 'Image-aarch64',
  openhcl_boot: 'openhcl_boot-aarch64.elf',
  underhill_initrd: 'initrd-small.bin',
  linux_kernel: 'Image-aarch64',
  linux_initrd: 'initrd-small.bin',
});

const forArch = (
  guest_arch: 'x64' | 'aarch64',
  guests: fc.Arbitrary<object[]>,
  resources: fc.Arbitrary<Record<string, string>>,
): fc.Arbitrary<RandomManifest> =>
  fc.tuple(guests, resources).map(([guest_configs, files]) => ({
    manifest: { guest_arch, guest_configs },
    resources: files,
  }));

/** Manifests of every kind that igvmfilegen builds. Some of them may still be refused: a layout that doesn't fit. */
export const igvmfilegenManifest: fc.Arbitrary<RandomManifest> = fc.oneof(
  forArch('x64', isolatedGuests as fc.Arbitrary<object[]>, X64_RESOURCES),
  forArch('x64', plainOpenhcl, X64_RESOURCES),
  forArch('x64', uefiGuests as fc.Arbitrary<object[]>, X64_RESOURCES),
  forArch('x64', snpLinuxDirect, X64_RESOURCES),
  forArch('aarch64', openhclArm64, ARM64_RESOURCES),
);

/** The same, and Linux booted directly at VTL0. */
export const randomManifest: fc.Arbitrary<RandomManifest> = fc.oneof(
  { weight: 5, arbitrary: igvmfilegenManifest },
  { weight: 1, arbitrary: forArch('x64', directLinux, X64_RESOURCES) },
);
