/**
 * The files of an image as the manifest alone determines them: those that a build writes, which inference declares as outputs, and
 * the resources that it uses. Source of the names: openvmm igvmfilegen main.rs.
 */
import { basename, dirname, extname, join, posix } from 'node:path';
import { isMeasured, ISOLATION_NAMES, type MeasuredPlatform } from '../igvm/platforms';
import { RESOURCE_NAMES, type ResourceName } from './model';

/** The kinds of files about one platform. */
export type SiblingKind = 'identity' | 'corim' | 'idBlock';

/** The files about a platform, `NAME-PLATFORM` with an extension, beside the image `NAME.igvm`. In the order of igvmfilegen. */
export const SIBLINGS: readonly { kind: SiblingKind; extension: string; platforms: readonly MeasuredPlatform[] }[] = [
  { kind: 'corim', extension: '.cbor', platforms: ISOLATION_NAMES.filter(isMeasured) },
  { kind: 'identity', extension: '.json', platforms: ISOLATION_NAMES.filter(isMeasured) },
  { kind: 'idBlock', extension: '.idblock', platforms: ['snp'] },
];

/**
 * Name of the image that a manifest describes: NAME for `NAME.igvm.json`, and the name of the folder for `igvm.json`. At the root of a
 * workspace it is `image`, because the name of the root differs between clones.
 * @param manifestPath relative to the workspace, with `/`
 */
export function imageNameInWorkspace(manifestPath: string): string {
  const { dir, base } = posix.parse(manifestPath);
  return (base === 'igvm.json' ? posix.basename(dir) : base.replace(/(?:\.igvm)?\.json$/, '')) || 'image';
}

/** Isolation types of a manifest's guests. The manifest need not be valid. */
export function isolationTypes(manifest: { guest_configs?: unknown }): string[] {
  const guests: unknown[] = Array.isArray(manifest.guest_configs) ? manifest.guest_configs : [];
  const types = guests.flatMap((guest) => {
    const isolation = (guest as { isolation_type?: unknown } | null)?.isolation_type;
    if (typeof isolation === 'string') return [isolation];
    return typeof isolation === 'object' && isolation !== null ? Object.keys(isolation) : [];
  });
  return [...new Set(types)];
}

/** Names of all files of an image, the `.igvm` first. */
export function imageFileNames(name: string, manifest: { guest_configs?: unknown }): string[] {
  const siblings = isolationTypes(manifest).flatMap((type) =>
    SIBLINGS.filter(({ platforms }) => platforms.some((platform) => platform === type)).map(
      ({ extension }) => `${name}-${type}${extension}`,
    ),
  );
  return [`${name}.igvm`, `${name}.igvm.map`, ...siblings];
}

/** Path of the measurement lock that belongs to a manifest: `NAME.igvm.lock.json` beside `NAME.igvm.json`. */
export const lockPath = (manifestPath: string): string => manifestPath.replace(/(?:\.json)?$/, '.lock.json');

/** Path of an image's map file. */
export const mapPath = (output: string): string => `${output}.map`;

/** Path of a file about one platform, beside the image. @param extension with its dot */
export function siblingPath(output: string, platform: MeasuredPlatform, extension: string): string {
  const name = basename(output);
  return join(dirname(output), `${name.slice(0, name.length - extname(name).length)}-${platform}${extension}`);
}

/** Valid names of projects. npm allows them as package names, so that the same name works in package.json. */
export const PROJECT_NAME = /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/;

export const PROJECT_NAME_RULE = 'use lower-case letters, digits, dots, dashes and underscores';

/** How an image uses a resource. */
export interface ResourceUse {
  /** `optional`: used if it is given. */
  need: 'required' | 'optional';
  /** Index of the first guest that uses it. */
  guest: number;
}

export type Json = Record<string, unknown>;

/** The value if it is a JSON object, otherwise an empty object. */
export const asRecord = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};

function linuxResources(linux: unknown): ResourceName[] {
  return asRecord(linux)['use_initrd'] === true ? ['linux_kernel', 'linux_initrd'] : ['linux_kernel'];
}

/** Resources that an image requires, by the tag of the image. */
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

/** Keys for Secure Boot, used only by images with Secure Boot. */
export const SECURE_BOOT_RESOURCES = [
  'secure_boot_pk',
  'secure_boot_kek',
  'secure_boot_db',
  'secure_boot_dbx',
] as const;

/** Resources that an image uses if they are given, by the tag of the image. */
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
 * The resources that the images of a manifest use, in the order of {@link RESOURCE_NAMES}. The manifest need not be valid, because
 * inference must also handle wrong ones.
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
