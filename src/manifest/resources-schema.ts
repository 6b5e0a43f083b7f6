/**
 * Resources in a manifest, and igvmfilegen's separate resources file. Source of the latter: `Resources` in openvmm
 * vm/loader/igvmfilegen_config/src/lib.rs.
 */
import { isAbsolute } from 'node:path';
import * as z from 'zod/mini';
import { RESOURCE_NAMES, type ResourceName } from './model';
import { closedStruct, optional, patternText, someText, struct, text, textThat, webFile } from './schema-parts';

const SHA256_PATTERN = /^[0-9a-fA-F]{64}$/;
const sha256 = optional(
  patternText(SHA256_PATTERN, '64 hexadecimal digits', 'SHA-256 of the file, which the build verifies.'),
);

const path = someText(
  'a path',
  'A path relative to the manifest, from the workspace with `{workspaceRoot}/`, or absolute; or a glob that matches ' +
    'exactly one file. Escape special characters with a backslash.',
);

const resource = z
  .union(
    [
      path,
      closedStruct({ path, sha256 }, 'A file, pinned if `sha256` is given.'),
      closedStruct(
        {
          project: someText('the name of a project', 'The Nx project.'),
          target: someText('the name of a target', 'The target of that project.'),
          path: someText('a path', 'The file that the target writes, relative to the workspace.'),
          sha256,
        },
        'The output of another target, which runs first.',
      ),
      closedStruct(webFile, 'A file from a web server, or a file in an archive from there.'),
    ],
    {
      error: () =>
        'a path, or an object with "path" (and "project" and "target" for the output of another target) or with "url"',
    },
  )
  .register(z.globalRegistry, { id: 'resource' });

const KEY_FILE =
  'Optional, for `ovmf` images with `secure_boot`: concatenated certificates (PEM or DER), signature lists (`.esl`), or an update of the ' +
  'variable (`.auth`).';

export const RESOURCE_DESCRIPTIONS: Record<ResourceName, string> = {
  uefi: 'UEFI firmware volume, for `uefi` images and for OpenHCL with `uefi`.',
  underhill_kernel: "The paravisor's kernel, for `openhcl` images.",
  openhcl_boot: 'The boot shim, for `openhcl` images.',
  underhill_initrd: "The paravisor's initrd, for `openhcl` images.",
  underhill_sidecar: 'The sidecar kernel, optional for `openhcl` images.',
  linux_kernel:
    'The kernel, for Linux images: a kernel, or a UKI with a section .linux. Optional for `ovmf` images: a kernel with an EFI stub, which gets neither command line nor initrd.',
  linux_initrd: 'The initrd, for Linux images with `use_initrd`: an initrd, or a UKI with a section .initrd.',
  linux_command_line:
    'Text to append to the command line, such as the root hash of a file system that another target builds: one line of printable ' +
    'ASCII, or a UKI with a section .cmdline. Optional for Linux images and for OpenHCL with `static_command_line`.',
  snp_bootshim:
    "openvmm's `snp_bootshim`, optional for `snp_linux_direct`. It accepts the guest's free memory at boot, so the image need not " +
    'contain it, and starts faster.',
  ovmf_code: 'The firmware, for `ovmf` images: `OVMF.fd`, or `OVMF_CODE.fd` with `ovmf_vars`.',
  ovmf_vars: "The firmware's variable store, optional for `ovmf` images.",
  shim: 'The EFI program that the firmware starts first, optional for `ovmf` images. It starts `uki` or `linux_kernel`.',
  uki: 'A unified kernel image, or any other EFI program, optional for `ovmf` images. Not together with `linux_kernel`.',
  secure_boot_pk: `The platform key: exactly one certificate. ${KEY_FILE}`,
  secure_boot_kek: `Key exchange keys. ${KEY_FILE}`,
  secure_boot_db: `Certificates and hashes of programs that may start. ${KEY_FILE}`,
  secure_boot_dbx: `Certificates and hashes of programs that may not start. ${KEY_FILE}`,
};

/** Where generators and editors expect the files, from the manifest's folder. */
export const USUAL_PATHS: Record<ResourceName, string> = {
  uefi: 'boot/MSVM.fd',
  underhill_kernel: 'boot/openhcl-kernel',
  openhcl_boot: 'boot/openhcl_boot',
  underhill_initrd: 'boot/openhcl-initrd.cpio.gz',
  underhill_sidecar: 'boot/sidecar',
  linux_kernel: 'boot/vmlinuz',
  snp_bootshim: 'boot/snp_bootshim',
  linux_initrd: 'boot/initrd.cpio',
  linux_command_line: 'boot/command-line.txt',
  ovmf_code: 'boot/OVMF.amdsev.fd',
  ovmf_vars: 'boot/OVMF_VARS.fd',
  shim: 'boot/shimx64.efi',
  uki: 'boot/linux.efi',
  secure_boot_pk: 'keys/pk.pem',
  secure_boot_kek: 'keys/kek.pem',
  secure_boot_db: 'keys/db.pem',
  secure_boot_dbx: 'keys/dbx.esl',
};

/** The key `resources` of a manifest. */
export const resources = closedStruct(
  Object.fromEntries(
    RESOURCE_NAMES.map((name) => [
      name,
      optional(resource).register(z.globalRegistry, { description: RESOURCE_DESCRIPTIONS[name] }),
    ]),
  ) as Record<ResourceName, z.ZodMiniOptional<typeof resource>>,
  'The files that images are built from. Ignored by igvmfilegen, which reads a separate resources file.',
);

/** igvmfilegen's separate resources file. A function, because most builds have no such file and needn't make its schema. */
export function resourcesFileSchema() {
  const absolutePath = textThat((value) => isAbsolute(value), 'an absolute path', '');
  const entries = RESOURCE_NAMES.map((name) => [
    name,
    optional(absolutePath).register(z.globalRegistry, {
      description: `${RESOURCE_DESCRIPTIONS[name]} An absolute path.`,
    }),
  ]);
  return struct({
    $schema: optional(text('The JSON Schema of this file, for editors.')),
    resources: closedStruct(
      Object.fromEntries(entries) as Record<ResourceName, z.ZodMiniOptional<typeof absolutePath>>,
      'The files that images are made of.',
    ),
  }).register(z.globalRegistry, { title: 'IGVM resources', description: "igvmfilegen's separate resources file." });
}
