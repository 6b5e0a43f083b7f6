import { IgvmError } from '../../errors/igvm-error';
import { existsOn, ISOLATION_NAMES, type IsolationName } from '../../igvm/isolation';
import type { GuestArch } from '../../igvm/model';
import { USUAL_PATHS } from '../../manifest/resources-schema';
import type { GuestConfig, Image, IsolationType, Manifest, ResourceName, SnpIsolation } from '../../manifest/model';
import { PAGE_SIZE, readMemorySize } from '../../memory/page';

/** The options from which an image is generated, with defaults filled in. */
export interface ImageOptions {
  arch: 'x64' | 'aarch64';
  /** Undefined: the type's own default. */
  isolation: IsolationName[] | undefined;
  /** Whether the guest's Linux kernel gets an initrd. */
  useInitrd: boolean;
  /** The program that OVMF starts. */
  kernel: 'uki' | 'linux_kernel';
  commandLine: string;
  /** As given by the user. Each type of image checks its own alignment. */
  memorySize: string | number;
  bootData: 'embedded' | 'vmm';
  processorCount: number | undefined;
  paravisor: boolean;
  debug: boolean;
}

/** A generated image: its guests, and the binaries that they need. */
export interface Scaffold {
  /** One line that describes the image. */
  title: string;
  guests: GuestConfig[];
  resources: ResourceName[];
  /** The launches whose digests count, unless they are Hyper-V's. */
  launches?: Manifest['launches'];
  /** Further information for the user, in sentences. */
  notes: string[];
}

/** The default path of each binary, relative to the image's folder. */
export const defaultPath = (resource: ResourceName, arch: 'x64' | 'aarch64'): string =>
  resource === 'linux_kernel' && arch === 'aarch64' ? 'boot/Image' : USUAL_PATHS[resource];

/** The size of a large page in bytes. OpenHCL's memory is a multiple of it. */
export const LARGE_PAGE = 2 * 2 ** 20;

export function guest(isolation: IsolationType, maxVtl: 0 | 2, image: Image): GuestConfig {
  return { guest_svn: 1, max_vtl: maxVtl, isolation_type: isolation, image };
}

/** SEV-SNP guest policy bits: SMT allowed, and bit 17, which is reserved and always one (SNP firmware ABI, table 9). */
export const SNP_POLICY_SMT = 0x30000n;

/** The same, and an ABI version of at least 0.31, which Hyper-V's paravisor guests require. */
export const SNP_POLICY_PARAVISOR = SNP_POLICY_SMT | 0x1fn;

/** The `isolation_type` of a manifest for each name. Only `snp` differs between the types of images. */
export function isolationType(
  name: IsolationName,
  debug: boolean,
  snp: Omit<SnpIsolation, 'enable_debug'>,
): IsolationType {
  switch (name) {
    case 'none':
      return 'none';
    case 'vbs':
      return { vbs: { enable_debug: debug } };
    case 'snp':
      return { snp: { ...snp, enable_debug: debug } };
    case 'tdx':
      return { tdx: { enable_debug: debug, sept_ve_disable: true } };
  }
}

/** The isolations of an image that supports all of them, the default first. */
export const anyIsolation = (arch: GuestArch): IsolationName[] =>
  arch === 'x64' ? ISOLATION_NAMES.filter((name) => existsOn(name, arch)) : ['none'];

/**
 * The isolations to generate guests for.
 * @param allowed the isolations that the type of image supports, its default first
 * @throws IgvmError GENERATOR_OPTION
 */
export function chooseIsolation(
  type: string,
  chosen: IsolationName[] | undefined,
  allowed: readonly IsolationName[],
): IsolationName[] {
  const names = chosen === undefined || chosen.length === 0 ? allowed.slice(0, 1) : [...new Set(chosen)];
  const wrong = names.find((name) => !allowed.includes(name));
  if (wrong !== undefined) {
    throw new IgvmError(
      'GENERATOR_OPTION',
      `${type} can't have the isolation ${wrong}: it supports ${allowed.join(', ')}`,
    );
  }
  if (names.includes('none') && names.includes('vbs')) {
    const message = 'none and vbs are the same platform to a VMM, so each needs an image of its own';
    throw new IgvmError('GENERATOR_OPTION', message, {}, { saysAll: true });
  }
  return names;
}

/**
 * Parses the option `memorySize` to bytes.
 * @param multipleOf what the size has to be a multiple of, in bytes
 * @throws IgvmError GENERATOR_OPTION
 */
export function parseMemorySize(size: string | number, multipleOf: number = PAGE_SIZE): number {
  const bytes = readMemorySize(size);
  if (bytes === undefined) {
    throw new IgvmError('GENERATOR_OPTION', `memorySize "${size}" is not a size like 512M or 1G`);
  }
  if (bytes % multipleOf !== 0) {
    throw new IgvmError('GENERATOR_OPTION', `memorySize "${size}" is not a multiple of ${multipleOf} bytes`);
  }
  return bytes;
}
