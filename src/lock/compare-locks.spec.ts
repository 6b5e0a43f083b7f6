import type { Directive } from '../igvm/model';
import { compareLocks } from './compare-locks';
import { lockOf, tdxFile } from './lock.fixture';
import type { LockedPlatform, LockedRegion, MeasurementLock } from './model';

const memory = (size: number): Directive => ({
  type: 'requiredMemory',
  gpa: 0,
  compatibilityMask: 1,
  size,
  vtl2Protectable: false,
});

const lockWith = (regions: LockedRegion[], digest = '0'): MeasurementLock => {
  const tdx: LockedPlatform = { algorithm: 'SHA-384', digests: { any: digest }, headers: {}, registers: {}, regions };
  return { lockVersion: 1, platforms: { tdx } };
};
const changes = (before: LockedRegion[], after: LockedRegion[]): string[] | undefined =>
  compareLocks(lockWith(before, '1'), lockWith(after, '2'))[0]?.changes;

describe('a lock and what an image measures', () => {
  it('agree for the same guest', async () => {
    expect(compareLocks(await lockOf(tdxFile()), await lockOf(tdxFile()))).toEqual([]);
  });

  it('differ in the region that changed, by its tag', async () => {
    const [difference] = compareLocks(await lockOf(tdxFile(1, 2)), await lockOf(tdxFile(1, 3)));
    expect(difference).toMatchObject({ platform: 'tdx', digests: [{ vmm: 'any' }] });
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

  it('agree as long as the digest does, however the lock describes the guest', () => {
    expect(compareLocks(lockWith([]), lockWith([{ gpa: '0x0', size: '0x1000', kind: 'data' }]))).toEqual([]);
  });

  it('differ when one of them lacks a platform', async () => {
    const lock = await lockOf(tdxFile());
    const none = { lockVersion: 1, platforms: {} };
    expect(compareLocks(lock, none)).toMatchObject([{ platform: 'tdx', missingIn: 'image' }]);
    expect(compareLocks(none, lock)).toMatchObject([{ platform: 'tdx', missingIn: 'lock' }]);
  });

  it('differ on a platform of which neither knows a digest that the other has', () => {
    const snp = (digests: LockedPlatform['digests']): MeasurementLock => ({
      lockVersion: 1,
      platforms: { snp: { algorithm: 'SHA-384', digests, headers: {}, registers: {}, regions: [] } },
    });
    expect(compareLocks(snp({}), snp({}))).toMatchObject([{ platform: 'snp', digests: [{ vmm: 'any' }] }]);
    expect(compareLocks(snp({ kvm: 'A' }), snp({ hyperv: 'A' }))[0]?.digests).toHaveLength(2);
    expect(compareLocks(snp({ kvm: 'A' }), snp({ kvm: 'A' }))).toEqual([]);
  });

  it('say what moved, grew, came and went', () => {
    const kernel: LockedRegion = { gpa: '0x1000', size: '0x1000', kind: 'data', tag: 'kernel' };
    expect(changes([kernel], [{ ...kernel, gpa: '0x4000', size: '0x2000' }])).toEqual([
      'kernel 0x4000-0x6000: moved from 0x1000, 0x1000 bytes before',
    ]);
    expect(changes([kernel], [{ ...kernel, kind: 'shared' }])).toEqual(['kernel 0x1000-0x2000: data before']);
    expect(changes([kernel], [])).toEqual(['kernel 0x1000-0x2000: gone']);
    expect(changes([], [{ ...kernel, tag: undefined }])).toEqual(['data 0x1000-0x2000: new']);
  });

  it('tell several regions of one name apart by their order', () => {
    const part = (gpa: string, sha256: string): LockedRegion => ({
      gpa,
      size: '0x1000',
      kind: 'data',
      tag: 'kernel',
      sha256,
    });
    expect(changes([part('0x0', 'a'), part('0x4000', 'b')], [part('0x0', 'a'), part('0x4000', 'c')])).toEqual([
      'kernel 0x4000-0x5000: other contents',
    ]);
  });
});
