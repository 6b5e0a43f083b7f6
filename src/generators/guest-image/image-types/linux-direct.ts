import { IgvmError } from '../../../errors/igvm-error';
import type { DirectLinuxImage } from '../../../manifest/model';
import { COMMON_MEMORY_LIMIT } from '../../../memory/page';
import { parseMemorySize } from '../memory-size';
import { chooseIsolation, isolationType, SNP_POLICY_SMT } from './isolation';
import { guest, type ImageOptions, type Scaffold } from './scaffold';

/** A Linux kernel at VTL0: a NATIVE image without isolation, VBS with it. */
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
        ? ['The format has no native context for aarch64: this image is built for VBS, and no common VMM boots it yet.']
        : [],
  };
}

function x64Image({ bootData, memorySize, processorCount }: ImageOptions): Partial<DirectLinuxImage> {
  if (processorCount !== undefined && bootData === 'vmm') {
    throw new IgvmError('GENERATOR_OPTION', 'processorCount needs the boot data in the image: --bootData=embedded');
  }
  const memory = parseMemorySize(memorySize);
  if (bootData === 'embedded' && memory > COMMON_MEMORY_LIMIT) {
    throw new IgvmError(
      'GENERATOR_OPTION',
      'embedded boot data describe up to 2 GiB of memory; more needs --bootData=vmm',
    );
  }
  return {
    boot_data: bootData,
    memory_size: memory,
    ...(processorCount === undefined ? {} : { processor_count: processorCount }),
  };
}

/** The VMM describes memory to an aarch64 guest, in a device tree; there is nothing to embed. */
function aarch64Image({ processorCount }: ImageOptions): Partial<DirectLinuxImage> {
  if (processorCount !== undefined) {
    throw new IgvmError('GENERATOR_OPTION', 'processorCount of a linux-direct image is for x64 only');
  }
  return {};
}
