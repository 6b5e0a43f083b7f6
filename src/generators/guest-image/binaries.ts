import type { Resource, ResourceName } from '../../manifest/model';
import { shownReference } from '../../resources/resource-reference';

/** A binary as the README of a generated project lists it. */
export interface Binary {
  resource: ResourceName;
  /** A description of the place where it is expected. */
  place: string;
  what: string;
  from: string;
}

const SECURE_BOOT_KEYS = 'your keys: certificates (PEM, DER), signature lists (`.esl`) or updates (`.auth`)';

/** What each resource is, and where to get it. */
const SOURCES: Record<Exclude<ResourceName, 'linux_kernel'>, { what: string; from: string }> = {
  linux_initrd: {
    what: "The guest's initrd: a cpio archive, which may have any compression that the kernel supports",
    from: '`nx g nx-igvm:initrd`, your distribution (`/boot/initrd.img-*`), dracut or mkosi',
  },
  linux_command_line: {
    what: 'Text that is appended to the command line, such as a root hash',
    from: 'the target that makes the root file system',
  },
  snp_bootshim: {
    what: 'The boot shim of SEV-SNP guests, an ELF file',
    from: 'a build of `snp_bootshim` in <https://github.com/microsoft/openvmm>',
  },
  uefi: {
    what: 'UEFI firmware, `MSVM.fd`',
    from: 'the releases of <https://github.com/microsoft/mu_msvm>',
  },
  underhill_kernel: {
    what: "The paravisor's Linux kernel, an uncompressed vmlinux (x64) or Image (aarch64)",
    from: 'the releases of <https://github.com/microsoft/OHCL-Linux-Kernel>',
  },
  openhcl_boot: {
    what: "OpenHCL's boot shim, an ELF file",
    from: '<https://github.com/microsoft/openvmm>: `cargo xflowey build-igvm` writes it beside its result',
  },
  underhill_initrd: {
    what: "The paravisor's initrd, a gzipped cpio archive",
    from: '`openhcl/update-rootfs.py` in <https://github.com/microsoft/openvmm>, after a build of `openvmm_hcl`',
  },
  underhill_sidecar: {
    what: "OpenHCL's sidecar kernel, an ELF file",
    from: 'a build of `sidecar` in <https://github.com/microsoft/openvmm>',
  },
  ovmf_code: {
    what: 'OVMF, the UEFI firmware for QEMU, from edk2-stable202511 or newer; `OVMF.amdsev.fd` also starts under SEV-SNP',
    from: 'your distribution (`ovmf` on Debian, if it is new enough), or a build of <https://github.com/tianocore/edk2>',
  },
  ovmf_vars: {
    what: "The firmware's variable store, for firmware without one such as `OVMF_CODE.fd`",
    from: 'the package of the firmware',
  },
  shim: {
    what: 'The EFI program that the firmware starts first and that starts the kernel',
    from: 'your distribution (`shim-signed` on Debian)',
  },
  uki: {
    what: 'A unified kernel image: kernel, initrd and command line in one EFI program',
    from: '`ukify`, dracut (`--uefi`) or mkosi',
  },
  secure_boot_pk: { what: 'The platform key, one certificate', from: SECURE_BOOT_KEYS },
  secure_boot_kek: { what: 'Key exchange keys', from: SECURE_BOOT_KEYS },
  secure_boot_db: { what: 'Certificates and hashes of programs that may start', from: SECURE_BOOT_KEYS },
  secure_boot_dbx: { what: 'Certificates and hashes of programs that may not start', from: SECURE_BOOT_KEYS },
};

/** The kernel depends on more: a paravisor doesn't start a bzImage, and distributions name their packages by architecture. */
function kernelSource(arch: 'x64' | 'aarch64', underParavisor: boolean): { what: string; from: string } {
  if (arch === 'aarch64') {
    const from = 'your own kernel build (`make Image`), or `linux-image-arm64` on Debian';
    return { what: "The guest's Linux kernel: an Image, plain or compressed with gzip, or an EFI zboot kernel", from };
  }
  return underParavisor
    ? {
        what: "The guest's Linux kernel: an uncompressed vmlinux, not a bzImage",
        from: 'your own kernel build, or `scripts/extract-vmlinux` in its sources',
      }
    : {
        what: "The guest's Linux kernel: a bzImage or vmlinux",
        from: 'your distribution (`/boot/vmlinuz-*`, from `linux-image-amd64` on Debian), or your own kernel build',
      };
}

/** The README's table. */
export function describeBinaries(
  resources: Partial<Record<ResourceName, Resource>>,
  arch: 'x64' | 'aarch64',
): Binary[] {
  const underParavisor = Object.hasOwn(resources, 'openhcl_boot');
  return Object.entries(resources).map(([name, resource]) => ({
    resource: name as ResourceName,
    place: describePlace(resource),
    ...(name === 'linux_kernel'
      ? kernelSource(arch, underParavisor)
      : SOURCES[name as Exclude<ResourceName, 'linux_kernel'>]),
  }));
}

function describePlace(resource: Resource): string {
  if (typeof resource === 'string') {
    return `\`${resource}\``;
  }
  if ('url' in resource) return `\`${shownReference(resource)}\``;
  return 'project' in resource
    ? `\`${resource.path}\`, built by \`${resource.project}:${resource.target}\``
    : `\`${resource.path}\``;
}
