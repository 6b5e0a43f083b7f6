import { textOf } from '../errors/json-path.fixture';
import { checkWithResources } from './check-manifest';
import {
  direct,
  directSnp,
  failure,
  guest,
  type Json,
  linux,
  manifest,
  openhcl,
  ovmf,
  parse,
  policy,
  snp,
} from './manifest.fixture';
import { usedResources } from './image-files';

describe('conflicting values', () => {
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
      'memory that is not a whole number of pages',
      manifest([guest(linux({ ...embedded, memory_size: 536870913 }))]),
      at('image.linux.memory_size'),
    ],
    [
      'more embedded memory than 2 GiB',
      manifest([guest(linux({ ...embedded, memory_size: 2 ** 31 + 4096 }))]),
      at('image.linux.memory_size'),
    ],
    [
      'a number of processors where the VMM supplies the tables',
      manifest([guest(linux({ processor_count: 2 }))]),
      at('image.linux.processor_count'),
    ],
    ['OVMF beside another guest', manifest([guest('none', tdx), guest(ovmf())]), 'guest_configs[1].image.ovmf'],
    [
      'OVMF beside UEFI of Hyper-V',
      manifest([guest(ovmf()), guest({ uefi: { config_type: 'igvm' } }, snp())]),
      at('image.ovmf'),
    ],
    [
      'two guests of OVMF for one platform',
      manifest([guest(ovmf()), guest(ovmf())]),
      'guest_configs[1].isolation_type',
    ],
    ['OVMF under TDX', manifest([guest(ovmf(), tdx)]), at('isolation_type')],
    ['OVMF under VBS', manifest([guest(ovmf(), vbs)]), at('isolation_type')],
    ['OVMF on aarch64', manifest([guest(ovmf())], { guest_arch: 'aarch64' }), at('image.ovmf')],
    [
      'OVMF with a boundary',
      manifest([guest(ovmf(), directSnp({ shared_gpa_boundary_bits: 46 }))]),
      at('isolation_type.snp.shared_gpa_boundary_bits'),
    ],
    [
      'OVMF with restricted injection',
      manifest([guest(ovmf(), directSnp({ injection_type: 'restricted' }))]),
      at('isolation_type.snp.injection_type'),
    ],
    [
      'OVMF with secure AVIC',
      manifest([guest(ovmf(), directSnp({ secure_avic: 'enabled' }))]),
      at('isolation_type.snp.secure_avic'),
    ],
    [
      'guests of OVMF that start differently',
      manifest([guest(ovmf()), guest(ovmf({ boot_mode: 'flat32' }), directSnp())]),
      'guest_configs[1].image.ovmf.boot_mode',
    ],
    [
      'guests of OVMF with other parameters',
      manifest([guest(ovmf({ parameters: false })), guest(ovmf(), directSnp())]),
      'guest_configs[1].image.ovmf.parameters',
    ],
    [
      'guests of OVMF of which one has Secure Boot',
      manifest([guest(ovmf()), guest(ovmf({ secure_boot: { profile: 'all' } }), directSnp())]),
      'guest_configs[1].image.ovmf.secure_boot',
    ],
  ])('%s is refused, with the location', (_, document, jsonPath) => {
    const error = failure(document);
    expect([error.code, textOf(error.where)]).toEqual(['MANIFEST_CONFLICT', jsonPath]);
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
    ['OVMF', manifest([guest(ovmf(), directSnp())])],
    ['OVMF for two platforms', manifest([guest(ovmf(), directSnp()), guest(ovmf({ boot_mode: 'real16' }))])],
    ['a Linux kernel on aarch64', manifest([guest(linux())], { guest_arch: 'aarch64' })],
  ])('%s is accepted', (_, document) => {
    expect(parse(document).warnings).toEqual([]);
  });
});

describe('the resources of an OVMF image', () => {
  const conflicts = (image: Json, ...given: string[]): [string, string | undefined][] => {
    const loaded = parse(manifest([guest(ovmf(image))]));
    const errors = checkWithResources(
      loaded.manifest,
      (name) => given.includes(name),
      (path) => loaded.positionOf(path),
    );
    return errors.map(({ code, where }) => [code, textOf(where)]);
  };
  const refused = (path = ''): [string, string][] => [['MANIFEST_CONFLICT', `guest_configs[0].image.ovmf${path}`]];

  it('may include one kernel at most', () => {
    expect(conflicts({}, 'uki', 'linux_kernel')).toEqual(refused());
    expect([conflicts({}, 'shim', 'uki'), conflicts({}, 'linux_kernel')]).toEqual([[], []]);
  });

  it('may include keys only with Secure Boot', () => {
    expect(conflicts({}, 'secure_boot_pk')).toEqual(refused());
    expect(conflicts({ secure_boot: null }, 'secure_boot_db')).toEqual(refused());
    expect(conflicts({ secure_boot: {} }, 'secure_boot_db')).toEqual([]);
  });

  it('must allow some program to start', () => {
    expect(conflicts({ secure_boot: {} }, 'uki', 'secure_boot_pk')).toEqual(refused('.secure_boot'));
    expect(conflicts({ secure_boot: { profile: 'none' } }, 'uki')).toEqual(refused('.secure_boot'));
    expect(conflicts({ secure_boot: { profile: 'uefi11' } })).toEqual([]);
    expect(conflicts({ secure_boot: { hashes: true } }, 'secure_boot_db')).toEqual(refused('.secure_boot.hashes'));
    expect(conflicts({ secure_boot: { hashes: true } }, 'shim')).toEqual([]);
  });

  it('are optional except for the firmware, and include keys only with Secure Boot', () => {
    const uses = (image: Json) => Object.fromEntries(usedResources(manifest([guest(ovmf(image))])));
    const required = { need: 'required', guest: 0 };
    const optional = { need: 'optional', guest: 0 };
    const programs = {
      linux_kernel: optional,
      ovmf_code: required,
      ovmf_vars: optional,
      shim: optional,
      uki: optional,
    };
    expect(uses({})).toEqual(programs);
    expect(uses({ secure_boot: {} })).toEqual({
      ...programs,
      secure_boot_pk: optional,
      secure_boot_kek: optional,
      secure_boot_db: optional,
      secure_boot_dbx: optional,
    });
    expect(usedResources(manifest([guest(ovmf()), guest(linux())])).get('linux_kernel')).toEqual({
      need: 'required',
      guest: 1,
    });
  });
});

describe('the overrides of a build', () => {
  it('switch secure AVIC off before conflicts are checked', () => {
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
