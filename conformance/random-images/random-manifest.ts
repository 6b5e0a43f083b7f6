import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { SNP_BOOT_SHIMS } from '../inputs/boot-shims';
import { INPUTS } from '../make-inputs';
import {
  arm64Kernel,
  bootShim,
  bzImageKernel,
  elfKernel,
  fileBytes,
  randomInitrd,
  type RandomFile,
} from './random-kernel';

/** A manifest and the resources that it may use: generated ones, or inputs of the conformance suite. */
export interface RandomImage {
  manifest: object;
  resources: Record<string, string | RandomFile>;
}

/** JSON with bigints as numbers. */
const json = (value: unknown): string =>
  JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? `bigint ${each}` : each), 2).replaceAll(
    /"bigint (\d+)"/g,
    '$1',
  );

const inputs = new Map<string, Uint8Array>();

/** A file of the conformance suite, made once. */
function input(name: string): Uint8Array {
  const bytes = inputs.get(name) ?? INPUTS[name]!();
  inputs.set(name, bytes);
  return bytes;
}

/** Writes igvm.json, a resources.json for igvmfilegen, and the files that they name. */
export function placeImage({ manifest, resources }: RandomImage, folder: string): void {
  for (const [name, file] of Object.entries(resources)) {
    writeFileSync(join(folder, name), typeof file === 'string' ? input(file) : fileBytes(file));
  }
  writeFileSync(
    join(folder, 'igvm.json'),
    json({ ...manifest, resources: Object.fromEntries(Object.keys(resources).map((name) => [name, name])) }),
  );
  const paths = Object.keys(resources).map((name) => [name, join(folder, name)]);
  writeFileSync(join(folder, 'resources.json'), json({ resources: Object.fromEntries(paths) }));
}

const svn = fc.oneof(fc.constantFrom(0, 1, 2 ** 32 - 1), fc.nat());
const commandLine = fc.oneof(
  fc.constantFrom('', 'console=ttyS0', 'OPENHCL_BOOT_LOG=com3'),
  fc.stringMatching(/^[a-zA-Z0-9=,. "\\_-]{0,200}$/),
);
const policy = fc.oneof(fc.constantFrom(0x30000n, 0x3001fn, 0xb0000n, 0n), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));

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

const demands = ['ephemeral_vmgs', 'secure_boot', 'secure_boot_vars', 'bcd_integrity'] as const;
const productPolicy = fc
  .record({
    ...Object.fromEntries(demands.map((name) => [`require_${name}`, fc.boolean()])),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 300 }),
  })
  .map(({ bytes, ...flags }) => ({ sivm: { ...flags, custom_uefi_json: Buffer.from(bytes).toString('base64') } }));

/** Memory in multiples of 2 MiB, enough for the small inputs. */
const memoryPages = fc.integer({ min: 32, max: 256 }).map((count) => count * 512);

const openhclX64 = fc.record(
  {
    command_line: commandLine,
    static_command_line: fc.boolean(),
    memory_page_base: fc.option(
      fc
        .oneof(
          { weight: 4, arbitrary: fc.integer({ min: 64, max: 512 }) },
          { weight: 4, arbitrary: fc.nat(2 ** 20) },
          // Addresses around bits with a meaning: canonical halves, the C-bit, the end of all addresses.
          { weight: 1, arbitrary: fc.constantFrom(46, 47, 48, 51, 52).map((bit) => 2 ** (bit - 21) - 64) },
          { weight: 1, arbitrary: fc.constantFrom(46, 47, 51).map((bit) => 2 ** (bit - 21)) },
        )
        .map((count) => count * 512),
    ),
    memory_page_count: memoryPages,
    uefi: fc.boolean(),
    product_policy: productPolicy,
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

const sparseOrDense = (
  { guest_svn, policy: bits, enable_debug, ...image }: Record<string, unknown>,
  injection_type: string,
): object[] => [
  {
    guest_svn,
    max_vtl: 0,
    isolation_type: { snp: { policy: bits, enable_debug, injection_type, secure_avic: 'disabled' } },
    image: { snp_linux_direct: image },
  },
];

/** Dense, as in igvmfilegen until August 2026. */
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
  .map((guest) => sparseOrDense(guest, 'normal'));

/** With a boot shim, which restricted injection needs. */
const sparseSnpLinuxDirect = fc
  .record({
    guest_svn: svn,
    policy,
    enable_debug: fc.boolean(),
    linux,
    processor_count: fc.oneof(fc.integer({ min: 1, max: 64 }), fc.constantFrom(254, 255, 256, 300)),
    memory_page_count: fc.oneof(fc.integer({ min: 6000, max: 9000 }), fc.integer({ min: 9000, max: 2 ** 20 - 1 })),
    c_bit_position: fc.integer({ min: 32, max: 51 }),
    injection: fc.constantFrom('normal', 'restricted'),
  })
  .map(({ injection, ...guest }) => sparseOrDense(guest, injection));

/** Not supported by igvmfilegen: a NATIVE guest, alone in its file. */
const directLinux = fc
  .record(
    {
      use_initrd: fc.boolean(),
      command_line: commandLine,
      memory_size: fc.integer({ min: 32, max: 1024 }).map((mebibytes) => mebibytes * 2 ** 20),
      boot: fc.oneof(
        fc.constant({ boot_data: 'vmm' }),
        fc.record({
          boot_data: fc.constant('embedded'),
          processor_count: fc.option(fc.integer({ min: 1, max: 64 }), { nil: undefined }),
        }),
      ),
    },
    { requiredKeys: ['use_initrd', 'command_line', 'memory_size', 'boot'] },
  )
  .map(({ boot, ...linuxImage }) => [
    { guest_svn: 1, max_vtl: 0, isolation_type: 'none', image: { linux: { ...linuxImage, ...boot } } },
  ]);

/** Linux under VBS, together with an empty guest under SNP, in either VTL. */
const isolatedLinux = fc
  .record({ guest_svn: svn, max_vtl: fc.constantFrom(0, 2), linux, vbs, snp: fc.option(snp, { nil: undefined }) })
  .map(({ linux: image, vbs: isolation, snp: other, guest_svn, max_vtl }) => [
    { guest_svn, max_vtl, isolation_type: { vbs: isolation }, image: { linux: image } },
    ...(other === undefined ? [] : [{ guest_svn, max_vtl: 2, isolation_type: { snp: other }, image: 'none' }]),
  ]);

const linuxArm64 = fc
  .record({
    guest_svn: svn,
    linux,
    isolation: fc.oneof(
      fc.constant('none'),
      vbs.map((each) => ({ vbs: each })),
    ),
  })
  .map(({ guest_svn, linux: image, isolation }) => [
    { guest_svn, max_vtl: 0, isolation_type: isolation, image: { linux: image } },
  ]);

const uefiArm64 = svn.map((guest_svn) => [
  { guest_svn, max_vtl: 0, isolation_type: 'none', image: { uefi: { config_type: 'none' } } },
]);

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

const initrd = fc.oneof(fc.constantFrom('initrd-small.bin', 'initrd-aligned.bin', 'initrd-empty.bin'), randomInitrd);
const x64Kernel = fc.oneof(fc.constantFrom('vmlinux-x64.elf', 'vmlinux-x64-unaligned.elf'), elfKernel, bzImageKernel);

const X64_RESOURCES = fc.record(
  {
    uefi: fc.constantFrom('MSVM-x64-pe.fd', 'MSVM-x64-te.fd'),
    underhill_kernel: fc.oneof(fc.constant('vmlinux-x64.elf'), elfKernel),
    openhcl_boot: fc.oneof(fc.constant('openhcl_boot-x64.elf'), bootShim('x64')),
    underhill_initrd: initrd,
    underhill_sidecar: fc.constant('sidecar-x64.elf'),
    linux_kernel: x64Kernel,
    linux_initrd: initrd,
  },
  { requiredKeys: ['uefi', 'underhill_kernel', 'openhcl_boot', 'underhill_initrd', 'linux_kernel', 'linux_initrd'] },
);

const imageArm64 = fc.oneof(fc.constant('Image-aarch64'), arm64Kernel);

const ARM64_RESOURCES = fc.record({
  uefi: fc.constant('MSVM-aarch64.fd'),
  underhill_kernel: imageArm64,
  openhcl_boot: fc.oneof(fc.constant('openhcl_boot-aarch64.elf'), bootShim('aarch64')),
  underhill_initrd: initrd,
  linux_kernel: imageArm64,
  linux_initrd: initrd,
});

const SPARSE_RESOURCES = fc.record({
  linux_kernel: x64Kernel,
  linux_initrd: initrd,
  snp_bootshim: fc.oneof(
    fc.constantFrom(...Object.keys(SNP_BOOT_SHIMS).filter((name) => name !== 'shim-paddr-overflow.elf')),
    bootShim('x64'),
  ),
});

/** Resources that images use, by a pattern that matches their part of the manifest. */
const USED: readonly [RegExp, readonly string[]][] = [
  [/"openhcl":/, ['underhill_kernel', 'openhcl_boot', 'underhill_initrd', 'underhill_sidecar']],
  [/"linux":/, ['linux_kernel', 'linux_initrd']],
  [/"snp_linux_direct":/, ['snp_bootshim']],
  [/"uefi": (true|\{)/, ['uefi']],
];

/** Leaves out the files that no part of the manifest can use. */
function used<T>(guests: object[], resources: Record<string, T>): Record<string, T> {
  const names = USED.flatMap(([pattern, list]) => (pattern.test(json(guests)) ? list : []));
  return Object.fromEntries(Object.entries(resources).filter(([name]) => names.includes(name)));
}

const forArch = (
  guest_arch: 'x64' | 'aarch64',
  guests: fc.Arbitrary<object[]>,
  resources: fc.Arbitrary<RandomImage['resources']> = guest_arch === 'x64' ? X64_RESOURCES : ARM64_RESOURCES,
): fc.Arbitrary<RandomImage> =>
  fc.tuple(guests, resources).map(([guest_configs, files]) => ({
    manifest: { guest_arch, guest_configs },
    resources: used(guest_configs, files),
  }));

/** Linux that starts directly at VTL0. Some may be refused: a layout that doesn't fit. */
export const randomLinuxImage: fc.Arbitrary<RandomImage> = forArch('x64', directLinux);

/** Sparse images of SNP guests. Some may be refused: a layout that doesn't fit, or an invalid shim. */
export const randomSparseImage: fc.Arbitrary<RandomImage> = forArch('x64', sparseSnpLinuxDirect, SPARSE_RESOURCES);

/** Images of every kind, architecture and isolation. Some may be refused: a layout that doesn't fit. */
export const randomImage: fc.Arbitrary<RandomImage> = fc.oneof(
  { weight: 3, arbitrary: forArch('x64', isolatedGuests as fc.Arbitrary<object[]>) },
  { weight: 2, arbitrary: forArch('x64', plainOpenhcl) },
  { weight: 1, arbitrary: forArch('x64', uefiGuests as fc.Arbitrary<object[]>) },
  { weight: 2, arbitrary: forArch('x64', snpLinuxDirect) },
  { weight: 2, arbitrary: randomSparseImage },
  { weight: 3, arbitrary: randomLinuxImage },
  { weight: 2, arbitrary: forArch('x64', isolatedLinux) },
  { weight: 2, arbitrary: forArch('aarch64', openhclArm64) },
  { weight: 2, arbitrary: forArch('aarch64', linuxArm64) },
  { weight: 1, arbitrary: forArch('aarch64', uefiArm64) },
);
