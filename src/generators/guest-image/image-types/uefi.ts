import { anyIsolation, chooseIsolation, isolationType, SNP_POLICY_PARAVISOR } from './isolation';
import { uefiParavisor } from './openhcl';
import { guest, type ImageOptions, type Scaffold } from './scaffold';

/** UEFI firmware: alone, or under OpenHCL. */
export function uefi(options: ImageOptions): Scaffold {
  return options.paravisor ? uefiParavisor(options) : plainUefi(options);
}

function plainUefi(options: ImageOptions): Scaffold {
  const isolation = chooseIsolation('uefi', options.isolation, anyIsolation(options.arch));
  return {
    title: `UEFI firmware (isolation: ${isolation.join(', ')}).`,
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
        ? ['The firmware has to be 6 MiB (0x600000 bytes) of `MSVM.fd`, with its SEC core in the last volume.']
        : ['The firmware has to be 8 MiB (0x800000 bytes) of `MSVM.fd`.'],
  };
}
