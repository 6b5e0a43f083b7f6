import { IgvmError } from '../../errors/igvm-error';
import type { DirectLinuxImage, OpenhclImage, ResourceName } from '../../manifest/model';
import { COMMON_MEMORY_LIMIT, PAGE_SIZE } from '../../memory/page';
import {
  anyIsolation,
  chooseIsolation,
  guest,
  type ImageOptions,
  isolationType,
  LARGE_PAGE,
  parseMemorySize,
  type Scaffold,
  SNP_POLICY_PARAVISOR,
  SNP_POLICY_SMT,
} from './scaffold';

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
export function uefiParavisor(options: ImageOptions): Scaffold {
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
