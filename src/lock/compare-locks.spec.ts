import type { Directive } from '../igvm/model';
import { compareLocks } from './compare-locks';
import { lockOf, tdxFile } from './lock.fixture';
import type { LockedDigest, LockedPlatform, LockedRegion, MeasurementLock } from './lock-schema';

const memory = (size: number): Directive => ({
  type: 'requiredMemory',
  gpa: 0,
  compatibilityMask: 1,
  size,
  vtl2Protectable: false,
});

const lockWith = (regions: LockedRegion[], digest = '0'): MeasurementLock => {
  return { lockVersion: 2, file: {}, platforms: { tdx: tdxWith({ digests: [{ digest }], regions }) } };
};

const tdxWith = (more: Partial<LockedPlatform>): LockedPlatform => ({
  debug: false,
  highestVtl: 0,
  sharedGpaBoundary: '0x0',
  algorithm: 'SHA-384',
  digests: [{ digest: '0' }],
  headers: {},
  registers: {},
  regions: [],
  ...more,
});
const changes = (before: LockedRegion[], after: LockedRegion[]): string[] | undefined =>
  compareLocks(lockWith(before, '1'), lockWith(after, '2'))[0]?.changes;

describe('a lock and an image', () => {
  it('agree for the same guest', async () => {
    expect(compareLocks(await lockOf(tdxFile()), await lockOf(tdxFile()))).toEqual([]);
  });

  it('differ in the region that changed, by its tag', async () => {
    const [difference] = compareLocks(await lockOf(tdxFile(1, 2)), await lockOf(tdxFile(1, 3)));
    expect(difference).toMatchObject({ platform: 'tdx', digests: [{ launch: '' }] });
    expect(difference!.changes).toEqual(['linux-initrd 0x1000-0x2000: other contents']);
  });

  it('differ in headers', async () => {
    const [before, after] = [
      await lockOf(tdxFile(1, 2, [memory(0x4000)])),
      await lockOf(tdxFile(1, 3, [memory(0x8000)])),
    ];
    expect(compareLocks(before, after)[0]!.changes).toContain(
      'header requiredMemory at GPA 0x0: size 0x4000  vtl2Protectable false before, now size 0x8000  vtl2Protectable false',
    );
  });

  it('differ if the lock describes the guest differently, even if the digest is right', () => {
    const region: LockedRegion = { gpa: '0x0', size: '0x1000', kind: 'data', measured: true };
    expect(compareLocks(lockWith([]), lockWith([region]))).toEqual([
      { platform: 'tdx', digests: [], changes: ['data 0x0-0x1000: new'] },
    ]);
  });

  it.each<[string, Partial<LockedPlatform>, string]>([
    ['debug', { debug: true }, 'debug: false before, now true'],
    ['svn', { svn: 7 }, 'svn: none before, now 7'],
    ['highestVtl', { highestVtl: 2 }, 'highestVtl: 0 before, now 2'],
    ['sharedGpaBoundary', { sharedGpaBoundary: '0x800' }, 'sharedGpaBoundary: 0x0 before, now 0x800'],
    ['a field of the policy', { policy: { smt: true } }, 'policy smt: none before, now true'],
    ['a field of the attributes', { attributes: { debug: true } }, 'attributes debug: none before, now true'],
    ['an identity', { familyId: '00' }, 'familyId: none before, now 00'],
    ['the place of the CoRIM', { corimInImage: false }, 'corimInImage: none before, now false'],
    ['a register', { registers: { rip: '0x1' } }, 'register rip: none before, now 0x1'],
    ['a document', { documents: { corim: 'a', identity: 'b' } }, 'SHA-256 of the document corim: none before, now a'],
  ])('differ in %s', (_, more, change) => {
    const [before, after] = [tdxWith({}), tdxWith(more)].map((tdx) => ({
      lockVersion: 2,
      file: {},
      platforms: { tdx },
    }));
    const [difference] = compareLocks(before!, after!);
    expect(difference).toMatchObject({ digests: [], changes: expect.arrayContaining([change]) });
  });

  it('differ in facts that belong to no guest', () => {
    const lock = lockWith([]);
    expect(compareLocks(lock, { ...lock, file: { architecture: 'x64' } })).toEqual([
      { digests: [], changes: ['architecture: none before, now x64'] },
    ]);
  });

  it('differ if one of them lacks a platform', async () => {
    const lock = await lockOf(tdxFile());
    const none = { ...lock, platforms: {} };
    expect(compareLocks(lock, none)).toMatchObject([{ platform: 'tdx', missingIn: 'image' }]);
    expect(compareLocks(none, lock)).toMatchObject([{ platform: 'tdx', missingIn: 'lock' }]);
  });

  it('differ in launches, and agree however these are listed', () => {
    const snp = (...digests: LockedDigest[]): MeasurementLock => ({
      lockVersion: 2,
      file: {},
      platforms: { snp: tdxWith({ digests }) },
    });
    const [hyperv, qemu] = [{ vmm: 'hyperv' }, { vmm: 'qemu-kvm', vcpus: [1, 2] }];
    expect(
      compareLocks(snp({ digest: 'A', launches: [qemu] }), snp({ digest: 'A', launches: [hyperv] })),
    ).toMatchObject([
      {
        platform: 'snp',
        digests: [
          { launch: 'qemu-kvm vcpus 1', expected: 'A' },
          { launch: 'qemu-kvm vcpus 2', expected: 'A' },
          { launch: 'hyperv', actual: 'A' },
        ],
      },
    ]);
    const twice = snp({ digest: 'A', launches: [hyperv] }, { digest: 'B', launches: [hyperv] });
    expect(compareLocks(twice, snp({ digest: 'A', launches: [hyperv] }))[0]?.digests).toHaveLength(1);
    expect(compareLocks(twice, twice)).toEqual([]);
    const apart = snp(
      { digest: 'A', launches: [hyperv, { ...qemu, vcpus: [2] }] },
      { digest: 'A', launches: [{ ...qemu, vcpus: [1] }] },
    );
    expect(compareLocks(snp({ digest: 'A', launches: [qemu, hyperv] }), apart)).toEqual([]);
  });

  it('match regions with the same name and address even if another region of that name is gone', () => {
    const [first, second, third] = [0x1000, 0x4000, 0x8000].map(
      (gpa): LockedRegion => ({
        tag: 'shim',
        kind: 'data',
        gpa: `0x${gpa.toString(16)}`,
        size: '0x1000',
        measured: true,
        sha256: `${gpa}`,
      }),
    ) as [LockedRegion, LockedRegion, LockedRegion];
    expect(changes([first, second, third], [second, third])).toEqual(['shim 0x1000-0x2000: gone']);
    expect(changes([second, third], [first, second, third])).toEqual(['shim 0x1000-0x2000: new']);
    expect(changes([first, third], [second, third])).toEqual(['shim 0x4000-0x5000: moved from 0x1000, other contents']);
  });

  it('show which regions moved, grew, are new or are gone', () => {
    const kernel: LockedRegion = { gpa: '0x1000', size: '0x1000', kind: 'data', measured: true, tag: 'kernel' };
    expect(changes([kernel], [{ ...kernel, gpa: '0x4000', size: '0x2000' }])).toEqual([
      'kernel 0x4000-0x6000: moved from 0x1000, 0x1000 bytes before',
    ]);
    expect(changes([kernel], [{ ...kernel, kind: 'shared', measured: false }])).toEqual([
      'kernel 0x1000-0x2000 (not measured): data before, measured before',
    ]);
    expect(changes([kernel], [{ ...kernel, marks: ['IS_2MB_PAGE'] }])).toEqual([
      'kernel 0x1000-0x2000: marked IS_2MB_PAGE, nothing before',
    ]);
    expect(changes([kernel], [])).toEqual(['kernel 0x1000-0x2000: gone']);
    expect(changes([], [{ ...kernel, tag: undefined }])).toEqual(['data 0x1000-0x2000: new']);
  });

  it('match regions with the same name by their order', () => {
    const part = (gpa: string, sha256: string): LockedRegion => ({
      gpa,
      size: '0x1000',
      kind: 'data',
      measured: true,
      tag: 'kernel',
      sha256,
    });
    expect(changes([part('0x0', 'a'), part('0x4000', 'b')], [part('0x0', 'a'), part('0x4000', 'c')])).toEqual([
      'kernel 0x4000-0x5000: other contents',
    ]);
  });
});
