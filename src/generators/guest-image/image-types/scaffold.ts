import type { IsolationName } from '../../../igvm/isolation';
import { USUAL_PATHS } from '../../../manifest/manifest-schema';
import type { GuestConfig, Image, IsolationType, ResourceName } from '../../../manifest/model';

/** What a type of image is generated from: the options, with their defaults filled in. */
export interface ImageOptions {
  arch: 'x64' | 'aarch64';
  /** Undefined: the type's own default. */
  isolation: IsolationName[] | undefined;
  /** Whether the guest's Linux kernel gets an initrd. */
  useInitrd: boolean;
  commandLine: string;
  /** As the user wrote it; each type knows what it has to be a multiple of. */
  memorySize: string | number;
  bootData: 'embedded' | 'vmm';
  processorCount: number | undefined;
  paravisor: boolean;
  debug: boolean;
}

/** A generated image: its guests, and the binaries they want. */
export interface Scaffold {
  /** One line: what the image is. */
  title: string;
  guests: GuestConfig[];
  resources: ResourceName[];
  /** What else a user should know; sentences. */
  notes: string[];
}

/** Where a binary is expected unless the user names another place, from the image's folder. */
export const defaultPath = (resource: ResourceName, arch: 'x64' | 'aarch64'): string =>
  resource === 'linux_kernel' && arch === 'aarch64' ? 'boot/Image' : USUAL_PATHS[resource];

/** Bytes of a large page, in which OpenHCL's memory is counted. */
export const LARGE_PAGE = 2 * 2 ** 20;

export function guest(isolation: IsolationType, maxVtl: 0 | 2, image: Image): GuestConfig {
  return { guest_svn: 1, max_vtl: maxVtl, isolation_type: isolation, image };
}
