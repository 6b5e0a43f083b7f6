import { input } from '../harness/inputs';

/** The kinds of binaries in images. */
export const BINARIES = {
  linux_kernel: 'vmlinux-x64.elf',
  linux_initrd: 'initrd-small.bin',
  uefi: 'MSVM-x64-pe.fd',
  underhill_kernel: 'vmlinux-x64.elf',
  underhill_initrd: 'initrd-small.bin',
  openhcl_boot: 'openhcl_boot-x64.elf',
  underhill_sidecar: 'sidecar-x64.elf',
} as const;

export type Binary = keyof typeof BINARIES;

export const bytesOf = (binary: Binary): Buffer => input(BINARIES[binary]);

/** An image that uses the binary, with its other resources. */
export function imageWith(binary: Binary): { guest: Record<string, unknown>; uses: Binary[] } {
  if (binary === 'uefi') {
    return { guest: { max_vtl: 0, image: { uefi: { config_type: 'none' } } }, uses: ['uefi'] };
  }
  if (binary === 'linux_kernel' || binary === 'linux_initrd') {
    const linux = { use_initrd: true, command_line: 'console=ttyS0', boot_data: 'embedded', memory_size: 2 ** 28 };
    return { guest: { max_vtl: 0, image: { linux } }, uses: ['linux_kernel', 'linux_initrd'] };
  }
  return {
    guest: { max_vtl: 2, image: { openhcl: { command_line: '', memory_page_count: 16384, uefi: false } } },
    uses: ['underhill_kernel', 'underhill_initrd', 'openhcl_boot', 'underhill_sidecar'],
  };
}

/** A manifest with one guest. */
export function manifestOf(
  guest: Record<string, unknown>,
  resources: Record<string, unknown>,
): Record<string, unknown> {
  return {
    guest_arch: 'x64',
    guest_configs: [{ guest_svn: 1, isolation_type: 'none', ...guest }],
    resources,
  };
}
