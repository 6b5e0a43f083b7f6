/** Tests whether genuine evidence is from the guest of an image. The tests build their own images. */
import { type Directive, type IgvmFile } from '../igvm/model';
import { lockText } from '../lock/lock-file';
import { lockImage } from '../lock/lock-of-image';
import { launchesOf } from '../measurement/launches';
import { bytesSource } from '../memory/byte-source';
import { idBlock, written } from '../measurement/measured-guest.fixture';
import { measureLaunches } from '../measurement/measure';
import { amdChain, type ReportFields, signedReport, TCB } from './amd-chain.fixture';
import { put, verifyOwn } from './evidence-run.fixture';
import { firmwareKeyDigest } from './expectations';
import { snpGuest } from './own-guest.fixture';

const MILAN = amdChain();

const QEMU = (vcpus: number) => launchesOf({ vmm: 'qemu-kvm', vcpus: [vcpus], cpu: ['EPYC-Milan'] });

/** The launch digest of the guest in QEMU. */
async function measurementOf(file: IgvmFile, vcpus: number): Promise<Buffer> {
  const { measurements } = await measureLaunches(file, { platforms: ['snp'], launches: QEMU(vcpus) });
  return Buffer.from(measurements[0]!.digest);
}

describe('a report from a guest of an image', () => {
  const report = async (fields: ReportFields = {}, vcpus = 2, file = snpGuest()): Promise<Buffer> =>
    signedReport({ measurement: await measurementOf(file, vcpus), ...fields }, MILAN.leaf.key);
  const image = async (file = snpGuest()): Promise<string> => put('guest.igvm', await written(file));
  const lock = async (file = snpGuest()): Promise<string> =>
    put('igvm.lock.json', lockText((await lockImage(file, { launches: QEMU(2) })).lock));

  it('is ours, and the result says how the guest was launched', async () => {
    for (const flags of [
      ['--lock', await lock()],
      ['--image', await image()],
      ['--lock', await lock(), '--image', await image()],
      ['--image', await image(), '--vmm', 'qemu-kvm', '--vcpus', '1,2', '--cpu', 'EPYC-Milan'],
    ]) {
      const { code, verdict, failed, passed } = await verifyOwn(await report(), MILAN, ...flags);
      expect({ code, verdict, failed }).toEqual({ code: 0, verdict: 'ours', failed: [] });
      expect(passed).toContainEqual(expect.stringMatching(/^measurement: .*QEMU with KVM, 2 vCPUs, EPYC-Milan/));
    }
  });

  it('is not ours with another number of vCPUs, and with the image the message names that number', async () => {
    const four = await report({}, 4);
    const alone = await verifyOwn(four, MILAN, '--lock', await lock());
    expect(alone).toMatchObject({ code: 4, verdict: 'genuine, not ours' });
    expect(alone.failed).toEqual([expect.stringMatching(/^measurement: .*use --image FILE to find out/)]);
    for (const flags of [
      ['--lock', await lock(), '--image', await image()],
      ['--image', await image(), '--vmm', 'qemu-kvm', '--vcpus', '2', '--cpu', 'EPYC-Milan'],
    ]) {
      const { code, failed } = await verifyOwn(four, MILAN, ...flags);
      expect([code, failed]).toEqual([
        4,
        [expect.stringMatching(/launched by QEMU with KVM, 4 vCPUs, EPYC-Milan.*expected is .*2 vCPUs/)],
      ]);
    }
    expect(await verifyOwn(four, MILAN, '--image', await image())).toMatchObject({ code: 0, verdict: 'ours' });
  });

  it('is ours on a processor that QEMU has no model for, as with -cpu host', async () => {
    const launches = launchesOf({ vmm: 'qemu-kvm', vcpus: [80], cpu: ['0xa10f12'] });
    const { measurements } = await measureLaunches(snpGuest(), { platforms: ['snp'], launches });
    const genoa = amdChain('Genoa');
    const fields = { measurement: Buffer.from(measurements[0]!.digest), version: 3, cpu: [0x19, 0x11, 2] as const };
    const own = await verifyOwn(signedReport(fields, genoa.leaf.key), genoa, '--image', await image());
    expect([own.code, own.failed, own.passed]).toEqual([
      0,
      [],
      expect.arrayContaining([expect.stringMatching(/^measurement: .*QEMU with KVM, 80 vCPUs, 0xa10f12/)]),
    ]);
  });

  it('is not ours if its VMM does not launch this file, because it is from another file with the same pages', async () => {
    const file = snpGuest();
    const corim = { type: 'corimDocument', compatibilityMask: 1, content: bytesSource(new Uint8Array(8)) } as const;
    const withCorim = await image({ ...file, initializations: [...file.initializations, corim] });
    const { code, failed } = await verifyOwn(await report(), MILAN, '--image', withCorim);
    expect([code, failed]).toEqual([
      4,
      [expect.stringMatching(/^measurement: .*2 vCPUs, EPYC-Milan, which does not launch this file: .*CoRIM/)],
    ]);
  });

  it('is not ours if it is from another image', async () => {
    const other = await report({}, 2, snpGuest(0x11));
    for (const flags of [
      ['--lock', await lock()],
      ['--image', await image()],
      ['--lock', await lock(), '--image', await image()],
    ]) {
      const { code, failed } = await verifyOwn(other, MILAN, ...flags);
      expect([code, failed]).toEqual([4, [expect.stringContaining('measurement: ')]]);
    }
  });

  it('is not ours if the host may debug the guest, unless the build allows that', async () => {
    const debug = await report({ policy: 0xb0000n });
    const { code, failed } = await verifyOwn(debug, MILAN, '--lock', await lock());
    expect(code).toBe(4);
    expect(failed).toEqual([
      expect.stringMatching(/^policy: 0xb0000, and .* has 0x30000$/),
      expect.stringMatching(/^debug: the host may debug the guest and read its memory, which .* does not allow$/),
    ]);
    const allowed = snpGuest(0x10, 0xb0000n);
    expect(await verifyOwn(debug, MILAN, '--lock', await lock(allowed))).toMatchObject({ code: 0, verdict: 'ours' });
    expect(await verifyOwn(debug, MILAN, '--image', await image(allowed))).toMatchObject({ code: 0, verdict: 'ours' });
  });

  it('is not genuine if its signature is wrong, even with the right measurement', async () => {
    const changed = await report();
    changed[0x50]! ^= 1;
    expect(await verifyOwn(changed, MILAN, '--lock', await lock())).toMatchObject({ code: 3, verdict: 'not genuine' });
  });

  it('must be requested by the measured code, not by the host or by other software in the guest', async () => {
    const flags = ['--lock', await lock()];
    expect((await verifyOwn(await report({ vmpl: 2 }), MILAN, ...flags)).failed).toEqual([
      'VMPL: VMPL 2 asked for the report, expected VMPL 0',
    ]);
    expect((await verifyOwn(await report({ vmpl: 2 }), MILAN, ...flags, '--vmpl', '2')).code).toBe(0);
    expect((await verifyOwn(await report({ vmpl: 0xffffffff }), MILAN, ...flags)).failed[0]).toContain(
      'the host asked',
    );
  });

  it('is compared with the requested report data, nonce and firmware versions', async () => {
    const reportData = Buffer.alloc(64);
    reportData.write('nonce-of-mine, and a key');
    const bytes = await report({ reportData });
    const verifyWith = (...flags: string[]) => verifyOwn(bytes, MILAN, ...flags);
    const nonce = Buffer.from('nonce-of-mine').toString('hex');
    expect(
      await verifyWith('--nonce', nonce, '--report-data', reportData.toString('hex').replace(/(00)+$/, '')),
    ).toMatchObject({
      code: 0,
      failed: [],
    });
    expect((await verifyWith('--nonce', `${nonce}ff`)).failed).toEqual([expect.stringContaining('nonce: ')]);
    expect(await verifyWith('--report-data', nonce)).toMatchObject({
      code: 4,
      failed: [expect.stringContaining('report data: ')],
    });
    expect(await verifyWith('--minimum-tcb', 'snp=24,microcode=219')).toMatchObject({ code: 0, failed: [] });
    expect((await verifyWith('--minimum-tcb', 'bootloader=3,snp=25,fmc=1')).failed).toEqual([
      'minimum TCB: snp is 24, and the minimum is 25; Milan has no fmc',
    ]);
    expect(TCB[6]).toBe(24);
  });

  it('must have the key, IDs and security version of the image’s ID block', async () => {
    const block = { ...(idBlock(new Uint8Array(48)) as Extract<Directive, { type: 'snpIdBlock' }>), guestSvn: 7 };
    block.familyId = new Uint8Array(16).fill(5);
    block.idPublicKey = { curve: 2, qx: new Uint8Array(72).fill(1), qy: new Uint8Array(72).fill(2) };
    const file = snpGuest();
    const measurement = await measurementOf(file, 2);
    block.ld = measurement;
    const path = await image({ ...file, directives: [...file.directives, block] });
    const fields: ReportFields = {
      measurement,
      guestSvn: 7,
      familyId: Buffer.alloc(16, 5),
      idKeyDigest: Buffer.from(firmwareKeyDigest(block.idPublicKey), 'hex'),
    };
    const failures = async (changes: ReportFields): Promise<string[]> =>
      (await verifyOwn(signedReport({ ...fields, ...changes }, MILAN.leaf.key), MILAN, '--image', path)).failed.map(
        (line) => line.split(':')[0]!,
      );
    expect(await failures({})).toEqual([]);
    expect(await failures({ guestSvn: 6 })).toEqual(['guest SVN']);
    expect(await failures({ familyId: Buffer.alloc(16, 6) })).toEqual(['family ID']);
    expect(await failures({ idKeyDigest: Buffer.alloc(48, 1) })).toEqual(['ID key']);
    expect(await failures({ idKeyDigest: Buffer.alloc(48), familyId: Buffer.alloc(16), guestSvn: 0 })).toEqual([
      'ID block',
      'ID key',
    ]);
  });
});
