import { RESOURCE_NAMES, type ResourceName } from './model';

/** What a resource is to an image. */
export interface ResourceUse {
  /** `optional`: used when it is given, not missed otherwise. */
  need: 'required' | 'optional';
  /** Index of the first guest that uses it. */
  guest: number;
}

const asRecord = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

function linuxResources(linux: unknown): ResourceName[] {
  return asRecord(linux)['use_initrd'] === true ? ['linux_kernel', 'linux_initrd'] : ['linux_kernel'];
}

/** Resources that an image can't do without, by the image's tag. */
const REQUIRED: Record<string, (image: Record<string, unknown>) => ResourceName[]> = {
  uefi: () => ['uefi'],
  openhcl: ({ uefi, linux }) => [
    'underhill_kernel',
    'openhcl_boot',
    'underhill_initrd',
    ...(uefi === true ? (['uefi'] as const) : []),
    ...(linux === undefined || linux === null ? [] : linuxResources(linux)),
  ],
  linux: linuxResources,
  snp_linux_direct: ({ linux }) => linuxResources(linux),
  ovmf: () => ['ovmf_code'],
};

/** Keys for Secure Boot, which only an image with it uses. */
export const SECURE_BOOT_RESOURCES = [
  'secure_boot_pk',
  'secure_boot_kek',
  'secure_boot_db',
  'secure_boot_dbx',
] as const;

/** Resources that an image uses when they are given, by the image's tag. */
const OPTIONAL: Record<string, (image: Record<string, unknown>) => readonly ResourceName[]> = {
  openhcl: () => ['underhill_sidecar', 'linux_command_line'],
  linux: () => ['linux_command_line'],
  snp_linux_direct: () => ['linux_command_line', 'snp_bootshim'],
  ovmf: ({ secure_boot: secureBoot }) => [
    'ovmf_vars',
    'shim',
    'uki',
    'linux_kernel',
    ...(secureBoot === undefined || secureBoot === null ? [] : SECURE_BOOT_RESOURCES),
  ],
};

/**
 * The resources that the images of a manifest use, in the order of {@link RESOURCE_NAMES}. Takes a manifest that isn't
 * validated too, as inference must say something of one that is wrong.
 */
export function usedResources(manifest: { guest_configs?: unknown }): Map<ResourceName, ResourceUse> {
  const uses = new Map<ResourceName, ResourceUse>();
  const guests = Array.isArray(manifest.guest_configs) ? manifest.guest_configs : [];
  for (const [guest, config] of guests.entries()) {
    for (const [tag, image] of Object.entries(asRecord(asRecord(config)['image']))) {
      const names = Object.hasOwn(REQUIRED, tag) ? REQUIRED[tag]!(asRecord(image)) : [];
      for (const name of names) if (uses.get(name)?.need !== 'required') uses.set(name, { need: 'required', guest });
      const optional = Object.hasOwn(OPTIONAL, tag) ? OPTIONAL[tag]!(asRecord(image)) : [];
      for (const name of optional) if (!uses.has(name)) uses.set(name, { need: 'optional', guest });
    }
  }
  return new Map(RESOURCE_NAMES.flatMap((name) => (uses.has(name) ? [[name, uses.get(name)!]] : [])));
}
