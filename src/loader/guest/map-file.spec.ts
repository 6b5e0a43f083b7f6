import { mapFileText, type MapFile } from './map-file';

const empty: MapFile = { isolation: { type: 'none' }, acceptedRanges: [], requiredMemory: [], relocatableRegions: [] };
const firstLine = (map: MapFile): string | undefined => mapFileText([map]).split('\n')[0];

describe('the map file', () => {
  it('lists the regions in the format of the reference', () => {
    const text = mapFileText([
      {
        isolation: { type: 'none' },
        acceptedRanges: [
          { pageBase: 0, pageCount: 1, tag: 'underhill-measured-config', acceptance: 'exclusive' },
          { pageBase: 0x8200, pageCount: 24, tag: 'underhill-kernel', acceptance: 'exclusive' },
        ],
        requiredMemory: [
          { gpa: 0x8000000, size: 0x4000000, vtl2Protectable: true },
          { gpa: 0, size: 0x1000, vtl2Protectable: false },
        ],
        relocatableRegions: [
          { kind: 'region', gpa: 0x8000000, size: 0x9c7000 },
          { kind: 'pageTable', gpa: 0x89c7000, size: 0x7000 },
        ],
      },
    ]);
    expect(text).toBe(
      [
        'IGVM file isolation: None',
        'IGVM file layout:',
        '  0000000000000000 - 0000000000001000 (0x1000 bytes) underhill-measured-config',
        '  0000000008200000 - 0000000008218000 (0x18000 bytes) underhill-kernel',
        'IGVM file required memory:',
        '  0000000008000000 - 000000000c000000 (0x4000000 bytes) VTL2 protectable',
        '  0000000000000000 - 0000000000001000 (0x1000 bytes) ',
        'IGVM file relocatable regions:',
        '  0000000008000000 - 00000000089c7000 (0x9c7000 bytes) relocation region',
        '  00000000089c7000 - 00000000089ce000 (0x7000 bytes) pagetable relocation region',
        '',
        '',
      ].join('\n'),
    );
  });

  it('leaves out parts that the guest does not have', () => {
    expect(mapFileText([empty, empty])).toBe('IGVM file isolation: None\nIGVM file layout:\n\n'.repeat(2));
  });

  it('spells out every field of an SNP policy', () => {
    expect(
      firstLine({
        ...empty,
        isolation: {
          type: 'snp',
          sharedGpaBoundaryBits: 46,
          policy: 0xffff_ffff_fff4_021fn,
          injectionType: 'restricted',
          secureAvic: 'enabled',
        },
      }),
    ).toBe(
      'IGVM file isolation: Snp { shared_gpa_boundary_bits: Some(46), policy: SnpPolicy { abi_minor: 31, abi_major: 2, smt: 0, reserved_must_be_one: 0, migrate_ma: 1, debug: 0, single_socket: 1, reserved: 8796093022207 }, injection_type: Restricted, secure_avic: Enabled }',
    );
    expect(
      firstLine({
        ...empty,
        isolation: { type: 'snp', policy: 0x30000n, injectionType: 'normal', secureAvic: 'disabled' },
      }),
    ).toContain(
      'Snp { shared_gpa_boundary_bits: None, policy: SnpPolicy { abi_minor: 0, abi_major: 0, smt: 1, reserved_must_be_one: 1,',
    );
  });

  it('spells out the TDX policy and the VBS switch', () => {
    expect(firstLine({ ...empty, isolation: { type: 'tdx', policy: 2n } })).toBe(
      'IGVM file isolation: Tdx { policy: TdxPolicy { debug_allowed: 0, sept_ve_disable: 1, migratable: 0, reserved: 0 } }',
    );
    expect(firstLine({ ...empty, isolation: { type: 'vbs', enableDebug: true } })).toBe(
      'IGVM file isolation: Vbs { enable_debug: true }',
    );
  });
});
