import type { OpenhclImage, ResourceName } from '../../../manifest/model';
import { PAGE_SIZE } from '../../../memory/page';
import { parseMemorySize } from '../memory-size';
import { anyIsolation, chooseIsolation, isolationType, SNP_POLICY_PARAVISOR } from './isolation';
import { guest, type ImageOptions, LARGE_PAGE, type Scaffold } from './scaffold';

/** First page of the paravisor in isolated guests, whose addresses are measured: 128 MiB. */
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
      'OpenHCL takes a sidecar kernel too: add `underhill_sidecar` to the resources.',
      ...(isolation.length > 1
        ? ['The file holds one guest for each platform; the VMM takes the one it can run.']
        : []),
    ],
  };
}
