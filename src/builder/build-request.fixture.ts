/** Build requests for tests, from the synthetic files of the conformance suite. */
import { join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import type { GuestConfig, Manifest, ResourceName } from '../manifest/model';
import type { BuildRequest } from './build-image';

export const KERNEL = 'vmlinux-x64.elf';

/** The inputs of {@link requestIn}, by their names in the conformance suite. */
export const REQUEST_INPUTS: readonly string[] = [KERNEL, 'initrd-small.bin', 'openhcl_boot-x64.elf'];

export const guest = (image: GuestConfig['image'], more: Partial<GuestConfig> = {}): GuestConfig => ({
  guest_svn: 1,
  max_vtl: 0,
  isolation_type: 'none',
  image,
  ...more,
});

export const linux = (more: object = {}): GuestConfig['image'] => ({
  linux: { use_initrd: true, command_line: 'console=ttyS0', boot_data: 'vmm', ...more },
});

export const openhcl = {
  openhcl: {
    command_line: '',
    static_command_line: false,
    memory_page_base: 32768n,
    memory_page_count: 16384n,
    uefi: false,
  },
} satisfies GuestConfig['image'];

/**
 * @param inputs folder of the files
 * @param out folder of the image
 * @param files files that replace the usual ones
 */
export function requestIn(
  inputs: string,
  out: string,
  guests: GuestConfig[],
  files: Partial<Record<ResourceName, string>> = {},
): BuildRequest {
  const manifest: Manifest = { guest_arch: 'x64', guest_configs: guests };
  const all = {
    linux_kernel: KERNEL,
    linux_initrd: 'initrd-small.bin',
    underhill_kernel: KERNEL,
    underhill_initrd: 'initrd-small.bin',
    openhcl_boot: 'openhcl_boot-x64.elf',
    ...files,
  };
  return {
    manifest,
    positionOf: (jsonPath) => ({ file: 'igvm.json', line: 7, jsonPath }),
    resources: new Map(
      Object.entries(all).map(([name, file]) => [name as ResourceName, { path: join(inputs, file), display: file }]),
    ),
    output: join(out, 'image.igvm'),
  };
}

/** The error of a build that fails. */
export async function failureOf(promise: Promise<unknown>): Promise<IgvmError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof IgvmError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
