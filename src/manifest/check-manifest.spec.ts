import {
  direct,
  directSnp,
  failure,
  guest,
  type Json,
  linux,
  manifest,
  openhcl,
  parse,
  policy,
  snp,
} from './manifest.fixture';

describe('values that do not go together', () => {
  const vbs = { vbs: { enable_debug: false } };
  const tdx = { tdx: { enable_debug: false, sept_ve_disable: true } };
  const embedded = { boot_data: 'embedded', memory_size: 536870912 };
  const at = (path: string) => `guest_configs[0].${path}`;
  it.each<[string, Json, string]>([
    ['none and vbs in one file', manifest([guest('none'), guest('none', vbs)]), 'guest_configs[1].isolation_type'],
    ['two SNP guests', manifest([guest('none', snp()), guest('none', snp())]), 'guest_configs[1].isolation_type'],
    ['a native kernel beside another guest', manifest([guest(linux()), guest('none', tdx)]), at('image.linux')],
    ['linux under SNP', manifest([guest(linux(), snp())]), at('image.linux')],
    [
      'linux under SNP, whatever else SNP would need',
      manifest([guest(linux(), snp({ shared_gpa_boundary_bits: null, injection_type: 'normal' }))]),
      at('image.linux'),
    ],
    ['linux under TDX', manifest([guest(linux(), tdx)]), at('image.linux')],
    [
      'SNP without a boundary',
      manifest([guest('none', snp({ shared_gpa_boundary_bits: null }))]),
      at('isolation_type.snp.shared_gpa_boundary_bits'),
    ],
    [
      'UEFI under SNP with a low boundary',
      manifest([guest({ uefi: { config_type: 'igvm' } }, snp({ shared_gpa_boundary_bits: 38 }))]),
      at('isolation_type.snp.shared_gpa_boundary_bits'),
    ],
    [
      'SNP at VTL0 with normal injection',
      manifest([guest('none', snp({ injection_type: 'normal' }))]),
      at('isolation_type.snp.injection_type'),
    ],
    ['SNP on aarch64', manifest([guest('none', snp())], { guest_arch: 'aarch64' }), at('isolation_type')],
    ['TDX on aarch64', manifest([guest('none', tdx)], { guest_arch: 'aarch64' }), at('isolation_type')],
    [
      'a configured UEFI on aarch64',
      manifest([guest({ uefi: { config_type: 'igvm' } })], { guest_arch: 'aarch64' }),
      at('image.uefi.config_type'),
    ],
    [
      'OpenHCL with two guests in VTL0',
      manifest([guest(openhcl({ uefi: true, linux: { use_initrd: false, command_line: '' } }))]),
      at('image.openhcl.linux'),
    ],
    [
      'OpenHCL with unaligned memory',
      manifest([guest(openhcl({ memory_page_count: 16385 }))]),
      at('image.openhcl.memory_page_count'),
    ],
    [
      'OpenHCL with an unaligned base',
      manifest([guest(openhcl({ memory_page_base: 1 }))]),
      at('image.openhcl.memory_page_base'),
    ],
    [
      'OpenHCL beyond 52 bits',
      manifest([guest(openhcl({ memory_page_base: 1099511627776 }))]),
      at('image.openhcl.memory_page_base'),
    ],
    [
      'OpenHCL with 4 GiB',
      manifest([guest(openhcl({ memory_page_count: 1048576 }))]),
      at('image.openhcl.memory_page_count'),
    ],
    [
      'OpenHCL on aarch64 with nothing in VTL0',
      manifest([guest(openhcl())], { guest_arch: 'aarch64' }),
      at('image.openhcl'),
    ],
    [
      'a policy without the JSON it demands',
      manifest([guest(openhcl({ product_policy: policy({ custom_uefi_json: '' }) }))]),
      at('image.openhcl.product_policy.sivm.custom_uefi_json'),
    ],
    [
      'a policy that demands the integrity of the BCD without the configuration that it is about',
      manifest([
        guest(
          openhcl({
            product_policy: policy({
              require_secure_boot_vars: false,
              require_bcd_integrity: true,
              custom_uefi_json: '',
            }),
          }),
        ),
      ]),
      at('image.openhcl.product_policy.sivm.custom_uefi_json'),
    ],
    [
      'a direct SNP guest beside another',
      manifest([guest(direct(), directSnp()), guest('none', vbs)]),
      at('image.snp_linux_direct'),
    ],
    ['a direct SNP guest at VTL2', manifest([guest(direct(), directSnp(), { max_vtl: 2 })]), at('max_vtl')],
    ['a direct SNP guest without SNP', manifest([guest(direct())]), at('isolation_type')],
    [
      'a direct SNP guest with a boundary',
      manifest([guest(direct(), directSnp({ shared_gpa_boundary_bits: 46 }))]),
      at('isolation_type.snp.shared_gpa_boundary_bits'),
    ],
    [
      'a direct SNP guest with secure AVIC',
      manifest([guest(direct(), directSnp({ secure_avic: 'enabled' }))]),
      at('isolation_type.snp.secure_avic'),
    ],
    [
      'a direct SNP guest below 1 MiB',
      manifest([guest(direct({ memory_page_count: 255 }), directSnp())]),
      at('image.snp_linux_direct.memory_page_count'),
    ],
    [
      'embedded boot data without memory',
      manifest([guest(linux({ boot_data: 'embedded' }))]),
      at('image.linux.memory_size'),
    ],
    [
      'embedded boot data on aarch64',
      manifest([guest(linux(embedded))], { guest_arch: 'aarch64' }),
      at('image.linux.boot_data'),
    ],
    [
      'memory that is no whole number of pages',
      manifest([guest(linux({ ...embedded, memory_size: 536870913 }))]),
      at('image.linux.memory_size'),
    ],
    [
      'more embedded memory than 2 GiB',
      manifest([guest(linux({ ...embedded, memory_size: 2 ** 31 + 4096 }))]),
      at('image.linux.memory_size'),
    ],
    [
      "processors that only the VMM's tables can name",
      manifest([guest(linux({ processor_count: 2 }))]),
      at('image.linux.processor_count'),
    ],
  ])('%s is refused where it stands', (_, document, jsonPath) => {
    const error = failure(document);
    expect([error.code, error.where.jsonPath]).toEqual(['MANIFEST_CONFLICT', jsonPath]);
  });

  it.each<[string, Json]>([
    ['SNP, TDX and VBS in one file', manifest([guest('none', snp()), guest('none', tdx), guest('none', vbs)])],
    [
      'embedded boot data with processors',
      manifest([guest(linux({ ...embedded, memory_size: 2 ** 31, processor_count: 254 }))]),
    ],
    ['a direct SNP guest', manifest([guest(direct(), directSnp())])],
    [
      'a direct SNP guest with restricted injection',
      manifest([guest(direct(), directSnp({ injection_type: 'restricted' }))]),
    ],
    ['Linux in VTL2 under SNP, as upstream', manifest([guest(linux(), snp(), { max_vtl: 2 })])],
    ['an SNP boundary modulo 64', manifest([guest('none', snp({ shared_gpa_boundary_bits: 255 }))])],
    [
      'a boundary of UEFI modulo 64',
      manifest([guest({ uefi: { config_type: 'igvm' } }, snp({ shared_gpa_boundary_bits: 64 + 39 }))]),
    ],
    [
      'page numbers of OpenHCL modulo 2^52',
      manifest([guest(openhcl({ memory_page_base: 2 ** 52 + 32768, memory_page_count: 2 ** 52 + 16384 }))]),
    ],
    ['a Linux kernel on aarch64', manifest([guest(linux())], { guest_arch: 'aarch64' })],
  ])('%s is accepted', (_, document) => {
    expect(parse(document).warnings).toEqual([]);
  });
});

describe('the overrides of a build', () => {
  it('switch secure AVIC off, before conflicts are looked for', () => {
    const document = manifest([guest(direct(), directSnp({ secure_avic: 'enabled' }))]);
    expect(parse(document, { disableSecureAvic: true }).manifest.guest_configs[0]!.isolation_type).toMatchObject({
      snp: { secure_avic: 'disabled' },
    });
  });

  it('append the debug variable to every OpenHCL command line', () => {
    const commandLine = (command_line: string) => {
      const { manifest: changed } = parse(manifest([guest(openhcl({ command_line }))]), { confidentialDebug: true });
      return (changed.guest_configs[0]!.image as { openhcl: { command_line: string } }).openhcl.command_line;
    };
    expect(commandLine('')).toBe('OPENHCL_CONFIDENTIAL_DEBUG=1');
    expect(commandLine('a=b')).toBe('a=b OPENHCL_CONFIDENTIAL_DEBUG=1');
  });
});
