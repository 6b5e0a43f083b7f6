import { IgvmError } from '../../../errors/igvm-error';
import { PAGE_SIZE } from '../../../memory/page';
import { parseMemorySize } from '../memory-size';
import { chooseIsolation, isolationType, SNP_POLICY_SMT } from './isolation';
import { guest, type ImageOptions, type Scaffold } from './scaffold';

/** Address bit that marks encrypted memory on the processors that have SEV-SNP (CPUID 0x8000001F). */
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
    notes: ['The guest has exactly the processors and the memory of the manifest: both are measured.'],
  };
}
