import { IgvmError } from '../../errors/igvm-error';
import { existsOn, ISOLATION_NAMES, type IsolationName } from '../../igvm/platforms';
import type { GuestArch } from '../../igvm/model';
import type {
  DirectLinuxImage,
  GuestConfig,
  Image,
  IsolationType,
  Manifest,
  OpenhclImage,
  ResourceName,
  SnpIsolation,
} from '../../manifest/model';
import { USUAL_PATHS } from '../../manifest/resources-schema';
import { COMMON_MEMORY_LIMIT, PAGE_SIZE, readMemorySize } from '../../memory/page';

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
  /** The launches to measure. Default: those of Hyper-V. */
  launches?: Manifest['launches'];
  /** Further information for the user, in sentences. */
  notes: string[];
}

/** The default path of each binary, relative to the image's folder. */
export const defaultPath = (resource: ResourceName, arch: 'x64' | 'aarch64'): string =>
  resource === 'linux_kernel' && arch === 'aarch64' ? 'boot/Image' : USUAL_PATHS[resource];

/** The size of a large page in bytes. OpenHCL's memory is a multiple of it. */
const LARGE_PAGE = 2 * 2 ** 20;

function guest(isolation: IsolationType, maxVtl: 0 | 2, image: Image): GuestConfig {
  return { guest_svn: 1, max_vtl: maxVtl, isolation_type: isolation, image };
}

/** SEV-SNP guest policy bits: SMT allowed, and bit 17, which is reserved and always one (SNP firmware ABI, table 9). */
const SNP_POLICY_SMT = 0x30000n;

/** The same, and an ABI version of at least 0.31, which Hyper-V's paravisor guests require. */
const SNP_POLICY_PARAVISOR = SNP_POLICY_SMT | 0x1fn;

/** The `isolation_type` of a manifest for each name. Only `snp` differs between the types of images. */
function isolationType(name: IsolationName, debug: boolean, snp: Omit<SnpIsolation, 'enable_debug'>): IsolationType {
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
const anyIsolation = (arch: GuestArch): IsolationName[] =>
  arch === 'x64' ? ISOLATION_NAMES.filter((name) => existsOn(name, arch)) : ['none'];

/**
 * The isolations to generate guests for.
 * @param allowed the isolations that the type of image supports, its default first
 * @throws IgvmError GENERATOR_OPTION
 */
function chooseIsolation(
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

/** A Linux kernel at VTL0: a NATIVE image without isolation, otherwise VBS. */
export function linuxDirect(options: ImageOptions): Scaffold {
  const { arch, commandLine, useInitrd } = options;
  // A NATIVE guest has to be alone in its file, so exactly one.
  const isolation = chooseIsolation('linux-direct', options.isolation, ['none', 'vbs']);
  const [name] = isolation;
  const image = arch === 'x64' ? x64Image(options) : aarch64Image(options);
  const native = arch === 'x64' && name === 'none';
  return {
    title: `A Linux kernel that starts directly${native ? ', on any VMM that loads native IGVM files' : ''}.`,
    guests: [
      guest(
        isolationType(name as 'none' | 'vbs', options.debug, {
          policy: SNP_POLICY_SMT,
          injection_type: 'normal',
          secure_avic: 'disabled',
        }),
        0,
        { linux: { use_initrd: useInitrd, command_line: commandLine, ...image } as DirectLinuxImage },
      ),
    ],
    resources: useInitrd ? ['linux_kernel', 'linux_initrd'] : ['linux_kernel'],
    notes:
      arch === 'aarch64'
        ? ['IGVM has no native context for aarch64, so this image is built for VBS, and no common VMM boots it yet.']
        : [],
  };
}

function x64Image({ bootData, memorySize, processorCount }: ImageOptions): Partial<DirectLinuxImage> {
  if (processorCount !== undefined && bootData === 'vmm') {
    const message = 'processorCount needs embedded boot data: --bootData=embedded';
    throw new IgvmError('GENERATOR_OPTION', message, {}, { saysAll: true });
  }
  const memory = parseMemorySize(memorySize);
  if (bootData === 'embedded' && memory > COMMON_MEMORY_LIMIT) {
    throw new IgvmError(
      'GENERATOR_OPTION',
      'embedded boot data can describe at most 2 GiB of memory; for more, use --bootData=vmm',
      {},
      { saysAll: true },
    );
  }
  return {
    boot_data: bootData,
    memory_size: memory,
    ...(processorCount === undefined ? {} : { processor_count: processorCount }),
  };
}

/** A VMM describes memory to an aarch64 guest in a device tree, so there is nothing to embed. */
function aarch64Image({ processorCount }: ImageOptions): Partial<DirectLinuxImage> {
  if (processorCount !== undefined) {
    throw new IgvmError('GENERATOR_OPTION', 'processorCount of a linux-direct image is for x64 only');
  }
  return {};
}

/** The address bit that marks encrypted memory on processors with SEV-SNP (CPUID 0x8000001F). */
const C_BIT = 51;

/** A Linux kernel in an SEV-SNP guest, without a paravisor. It has to be alone in its file. */
export function snpLinuxDirect(options: ImageOptions): Scaffold {
  if (options.arch !== 'x64') {
    throw new IgvmError('GENERATOR_OPTION', 'SEV-SNP is for x64 only');
  }
  chooseIsolation('snp-linux-direct', options.isolation, ['snp']);
  const { useInitrd, commandLine, processorCount = 1 } = options;
  return {
    title: `A Linux kernel that starts directly in an SEV-SNP guest with ${processorCount} processor${processorCount === 1 ? '' : 's'}.`,
    guests: [
      guest(
        isolationType('snp', options.debug, {
          shared_gpa_boundary_bits: null,
          policy: SNP_POLICY_SMT,
          injection_type: 'normal',
          secure_avic: 'disabled',
        }),
        0,
        {
          snp_linux_direct: {
            linux: { use_initrd: useInitrd, command_line: commandLine },
            processor_count: processorCount,
            memory_page_count: BigInt(parseMemorySize(options.memorySize) / PAGE_SIZE),
            c_bit_position: C_BIT,
          },
        },
      ),
    ],
    resources: useInitrd ? ['linux_kernel', 'linux_initrd'] : ['linux_kernel'],
    notes: ['The guest has exactly the processors and memory in the manifest, because both are measured.'],
  };
}

/** The first page of the paravisor in isolated guests, where addresses are measured: 128 MiB. */
const MEASURED_BASE = 32768n;

const PARAVISOR_RESOURCES: ResourceName[] = ['underhill_kernel', 'openhcl_boot', 'underhill_initrd'];

/** What runs in VTL0 above the paravisor. */
interface Vtl0 {
  type: string;
  title: string;
  image: Pick<OpenhclImage, 'linux' | 'uefi'>;
  resources: ResourceName[];
}

/** OpenHCL with Linux in VTL0. */
export function linuxParavisor(options: ImageOptions): Scaffold {
  const { useInitrd, commandLine } = options;
  return openhcl(options, {
    type: 'linux-paravisor',
    title: 'The OpenHCL paravisor, with Linux in VTL0',
    image: { uefi: false, linux: { use_initrd: useInitrd, command_line: commandLine } },
    resources: useInitrd ? ['linux_kernel', 'linux_initrd'] : ['linux_kernel'],
  });
}

/** OpenHCL with UEFI firmware in VTL0. */
function uefiParavisor(options: ImageOptions): Scaffold {
  return openhcl(options, {
    type: 'uefi',
    title: 'The OpenHCL paravisor, with UEFI firmware in VTL0',
    image: { uefi: true },
    resources: ['uefi'],
  });
}

function openhcl(options: ImageOptions, vtl0: Vtl0): Scaffold {
  const isolation = chooseIsolation(vtl0.type, options.isolation, anyIsolation(options.arch));
  const memoryPages = BigInt(parseMemorySize(options.memorySize, LARGE_PAGE) / PAGE_SIZE);
  return {
    title: `${vtl0.title} (isolation: ${isolation.join(', ')}).`,
    guests: isolation.map((name) =>
      guest(
        isolationType(name, options.debug, {
          shared_gpa_boundary_bits: 46,
          policy: SNP_POLICY_PARAVISOR,
          injection_type: 'normal',
          secure_avic: 'enabled',
        }),
        2,
        {
          openhcl: {
            command_line: '',
            static_command_line: false,
            ...(name === 'none' ? {} : { memory_page_base: MEASURED_BASE }),
            memory_page_count: memoryPages,
            ...vtl0.image,
          },
        },
      ),
    ),
    resources: [...PARAVISOR_RESOURCES, ...vtl0.resources],
    notes: [
      'OpenHCL also accepts a sidecar kernel: add `underhill_sidecar` to the resources.',
      ...(isolation.length > 1
        ? ['The file contains one guest for each platform. The VMM starts the one that it supports.']
        : []),
    ],
  };
}

/** UEFI firmware of Hyper-V: alone, or under OpenHCL. */
export function uefi(options: ImageOptions): Scaffold {
  return options.paravisor ? uefiParavisor(options) : plainUefi(options);
}

function plainUefi(options: ImageOptions): Scaffold {
  const isolation = chooseIsolation('uefi', options.isolation, anyIsolation(options.arch));
  return {
    title: `UEFI firmware for Hyper-V (isolation: ${isolation.join(', ')}).`,
    guests: isolation.map((name) =>
      guest(
        isolationType(name, options.debug, {
          shared_gpa_boundary_bits: 39,
          policy: SNP_POLICY_PARAVISOR,
          injection_type: 'restricted',
          secure_avic: 'enabled',
        }),
        0,
        { uefi: { config_type: name === 'none' ? 'none' : 'igvm' } },
      ),
    ),
    resources: ['uefi'],
    notes:
      options.arch === 'x64'
        ? [
            "This is the firmware of Hyper-V and OpenVMM. For OVMF, QEMU's firmware, use `--type=ovmf`.",
            'The firmware must be an `MSVM.fd` of 6 MiB (0x600000 bytes), with its SEC core in the last volume.',
          ]
        : ['The firmware must be an `MSVM.fd` of 8 MiB (0x800000 bytes).'],
  };
}

/** OVMF, with a UKI or kernel: for QEMU. */
export function ovmf(options: ImageOptions): Scaffold {
  if (options.arch !== 'x64') throw new IgvmError('GENERATOR_OPTION', 'an ovmf image is for x64 only');
  const isolation = chooseIsolation('ovmf', options.isolation, ['none', 'snp']).toSorted();
  const hasSnp = isolation.includes('snp');
  return {
    title: `OVMF, the UEFI firmware of QEMU, with a ${options.kernel === 'uki' ? 'UKI' : 'kernel'} (isolation: ${isolation.join(', ')}).`,
    guests: isolation.map((name) =>
      guest(
        isolationType(name, options.debug, {
          policy: SNP_POLICY_SMT,
          injection_type: 'normal',
          secure_avic: 'disabled',
        }),
        0,
        { ovmf: { boot_mode: 'real16', parameters: true } },
      ),
    ),
    resources: ['ovmf_code', options.kernel],
    ...(hasSnp ? { launches: [{ vmm: 'qemu-kvm', vcpus: [1], cpu: ['EPYC-Milan'] }] } : {}),
    notes: [
      'For Secure Boot, with your own keys or with public ones, add `secure_boot` to `ovmf` in every guest. See <https://github.com/nx-igvm/nx-igvm/blob/main/docs/ovmf.md>.',
      ...(hasSnp
        ? [
            'The SEV-SNP digest depends on the number and model of the processors. `launches` lists those for which it is computed.',
          ]
        : []),
      ...(isolation.length > 1
        ? ['The file contains a guest without isolation and one for SEV-SNP. The options of the VMM select one.']
        : []),
    ],
  };
}
