import { IgvmError } from '../../errors/igvm-error';
import { AcceptedRanges, mapFileText, type MapFile } from './layout';

const accept = (ranges: AcceptedRanges, pageBase: number, pageCount: number, tag = 'data'): void =>
  ranges.accept({ pageBase, pageCount, tag, acceptance: 'exclusive' });

const bounds = (ranges: AcceptedRanges): [number, number][] =>
  ranges.list().map(({ pageBase, pageCount }) => [pageBase, pageCount]);

function failure(action: () => void): IgvmError {
  try {
    action();
  } catch (error) {
    if (error instanceof IgvmError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('AcceptedRanges', () => {
  it('sorts ranges by address, in whatever order they were accepted', () => {
    const ranges = new AcceptedRanges();
    accept(ranges, 15, 5);
    accept(ranges, 0, 5);
    accept(ranges, 10, 5);
    expect(bounds(ranges)).toEqual([
      [0, 5],
      [10, 5],
      [15, 5],
    ]);
  });

  it('names both ranges that need the same pages', () => {
    const ranges = new AcceptedRanges();
    accept(ranges, 0x1000, 3, 'linux-kernel');
    const error = failure(() => accept(ranges, 0x1002, 1, 'linux-initrd'));
    expect(error.code).toBe('LAYOUT_OVERLAP');
    expect(error.message).toBe('linux-initrd at 0x1002000-0x1003000 overlaps linux-kernel at 0x1000000-0x1003000');
    expect(error.where.gpa).toEqual({ start: 0x1002000, end: 0x1003000 });
  });

  it.each([
    [4, 2],
    [0, 6],
    [5, 1],
    [9, 5],
    [0, 100],
    [6, 2],
  ])('refuses %i pages + %i over pages 5 to 9', (pageBase, pageCount) => {
    const ranges = new AcceptedRanges();
    accept(ranges, 5, 5);
    expect(failure(() => accept(ranges, pageBase, pageCount)).code).toBe('LAYOUT_OVERLAP');
    expect(bounds(ranges)).toEqual([[5, 5]]);
  });

  it('accepts adjacent ranges', () => {
    const ranges = new AcceptedRanges();
    accept(ranges, 5, 5);
    accept(ranges, 4, 1);
    accept(ranges, 10, 1);
    expect(bounds(ranges)).toHaveLength(3);
  });

  it('refuses addresses of more than 52 bits', () => {
    const ranges = new AcceptedRanges();
    accept(ranges, 2 ** 40 - 1, 1);
    expect(failure(() => accept(ranges, 2 ** 40, 1))).toMatchObject({
      code: 'LAYOUT_OUT_OF_RANGE',
      where: { gpa: { start: 2 ** 52, end: 2 ** 52 + 4096 } },
    });
  });

  it('joins neighbours only when tag and acceptance agree', () => {
    const ranges = new AcceptedRanges();
    accept(ranges, 0, 2, 'kernel');
    accept(ranges, 2, 2, 'kernel');
    accept(ranges, 4, 2, 'initrd');
    ranges.accept({ pageBase: 6, pageCount: 1, tag: 'initrd', acceptance: 'shared' });
    accept(ranges, 9, 1, 'initrd');
    ranges.mergeAdjacent();
    expect(bounds(ranges)).toEqual([
      [0, 4],
      [4, 2],
      [6, 1],
      [9, 1],
    ]);
  });

  it('lists the gaps below a limit', () => {
    const ranges = new AcceptedRanges();
    accept(ranges, 1, 2);
    accept(ranges, 3, 1);
    accept(ranges, 6, 2);
    accept(ranges, 0xffffffff, 1);
    expect(ranges.gaps(10)).toEqual([
      { pageBase: 0, pageCount: 1 },
      { pageBase: 4, pageCount: 2 },
      { pageBase: 8, pageCount: 2 },
    ]);
    expect(ranges.gaps(7)).toEqual([
      { pageBase: 0, pageCount: 1 },
      { pageBase: 4, pageCount: 2 },
    ]);
    expect(new AcceptedRanges().gaps(3)).toEqual([{ pageBase: 0, pageCount: 3 }]);
  });
});

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

  it('spells out the TDX policy, and whether VBS allows debugging', () => {
    expect(firstLine({ ...empty, isolation: { type: 'tdx', policy: 2n } })).toBe(
      'IGVM file isolation: Tdx { policy: TdxPolicy { debug_allowed: 0, sept_ve_disable: 1, migratable: 0, reserved: 0 } }',
    );
    expect(firstLine({ ...empty, isolation: { type: 'vbs', enableDebug: true } })).toBe(
      'IGVM file isolation: Vbs { enable_debug: true }',
    );
  });
});
