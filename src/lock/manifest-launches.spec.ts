import { pathOf } from '../errors/json-path.fixture';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileOf, patternPage, platformOf, runOf } from '../igvm/igvm-file.fixture';
import { type Directive, type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { launchesOf } from '../measurement/launches';
import { measure } from '../measurement/measure';
import { Vmsa } from '../vp-context/vmsa';
import { imageFolder } from './lock.fixture';
import { manifestLaunches, readLock } from './lock-file';
import { changedLock, updateLock } from './update-lock';
import { verifyImage, verifyText } from './verify-image';

const MANIFEST = {
  guest_arch: 'x64',
  guest_configs: [{ guest_svn: 1, max_vtl: 0, isolation_type: 'none', image: 'none' }],
};

/** A guest that every VMM launches; with debugging registers, one that QEMU refuses. */
function snpFile(dr7 = 0x400n): IgvmFile {
  const vmsa = new Vmsa();
  for (const [name, value] of [
    ['sevFeatures', 1n],
    ['cr0', 0x10n],
    ['xcr0', 1n],
    ['dr7', dr7],
  ] as const) {
    vmsa.set(name, value);
  }
  const context: Directive = {
    type: 'vpContext',
    format: 'snp',
    gpa: 0xfffffffff000,
    compatibilityMask: 1,
    vpIndex: 0,
    data: vmsa.page,
  };
  return fileOf([runOf(0x1000, patternPage(1)), context], {
    platforms: [platformOf(PLATFORM_TYPE.SEV_SNP)],
    initializations: [{ type: 'guestPolicy', policy: 0x30000n, compatibilityMask: 1 }],
  });
}

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

async function withLaunches(launches: unknown, file = snpFile()) {
  const paths = await imageFolder(file);
  folders.push(paths.folder);
  const name = (changed: unknown): void =>
    writeFileSync(join(paths.folder, 'igvm.json'), JSON.stringify({ ...MANIFEST, launches: changed }, undefined, 2));
  name(launches);
  return { ...paths, name };
}

const QEMU = { vmm: 'qemu-kvm', vcpus: [1, 2], cpu: ['EPYC-Milan', 'EPYC-Genoa'] };

describe('the launches that a manifest names', () => {
  it('are exactly those in the lock, which has equal digests once', async () => {
    const { image, lock } = await withLaunches([QEMU, { vmm: 'cloud-hypervisor-kvm', vcpus: [2] }]);
    await updateLock(image, lock, 'guest.igvm');
    const { digests } = readLock(lock).platforms.snp ?? {};
    expect(digests?.map(({ launches }) => launches)).toEqual([
      // One vCPU, which has a context: the digest does not depend on the processor.
      [
        { vmm: 'qemu-kvm', vcpus: [1], cpu: ['EPYC-Milan'] },
        { vmm: 'qemu-kvm', vcpus: [1], cpu: ['EPYC-Genoa'] },
      ],
      [{ vmm: 'qemu-kvm', vcpus: [2], cpu: ['EPYC-Milan'] }],
      [{ vmm: 'qemu-kvm', vcpus: [2], cpu: ['EPYC-Genoa'] }],
      [{ vmm: 'cloud-hypervisor-kvm', vcpus: [2] }],
    ]);
    const [milan] = await measure(snpFile(), { launches: launchesOf({ ...QEMU, vcpus: [2], cpu: ['EPYC-Milan'] }) });
    expect(digests?.[1]?.digest).toBe(
      Buffer.from(milan?.digest ?? [])
        .toString('hex')
        .toUpperCase(),
    );
    expect((await verifyImage({ image, lock })).differences).toEqual([]);
  });

  it('must all be in the lock, which must not have any others', async () => {
    const { image, lock, name } = await withLaunches([QEMU]);
    await updateLock(image, lock, 'guest.igvm');
    name([{ ...QEMU, vcpus: [1, 2, 4] }]);
    const more = await verifyImage({ image, lock });
    expect(verifyText(more)).toMatch(/qemu-kvm.*4.* expected none\n.*actual {3}[0-9A-F]{96}/);
    expect(verifyText(more)).toContain('SEV-SNP: the lock has the digests of other launches\n');
    expect(verifyText(more)).toMatch(/\n {2}nothing else that the lock lists has changed$/);
    expect(await changedLock(image, lock, 'guest.igvm')).toContain('[4]');
    name([{ ...QEMU, vcpus: [1] }]);
    expect(verifyText(await verifyImage({ image, lock }))).toMatch(/actual {3}none/);
  });

  it('may be left out: then the lock determines them', async () => {
    const { image, lock, name } = await withLaunches([QEMU]);
    await updateLock(image, lock, 'guest.igvm');
    name(undefined);
    expect(manifestLaunches(lock)).toBeUndefined();
    expect((await verifyImage({ image, lock })).differences).toEqual([]);
    rmSync(join(lock, '..', 'igvm.json'));
    expect(manifestLaunches(lock)).toBeUndefined();
  });

  it('are not locked if a VMM refuses the image', async () => {
    const { image, lock } = await withLaunches([QEMU], snpFile(0x701n));
    await expect(updateLock(image, lock, 'guest.igvm')).rejects.toMatchObject({
      code: 'MEASUREMENT_REFUSED',
      message: expect.stringContaining('QEMU refuses this file: the VP context of vCPU 0'),
    });
  });

  it.each<[string, unknown, string, string]>([
    ['an unknown VMM', [{ vmm: 'xen' }], 'MANIFEST_INVALID', 'launches[0].vmm'],
    ['an unknown processor', [{ vmm: 'qemu-kvm', cpu: ['Pentium'] }], 'MANIFEST_INVALID', 'launches[0].cpu[0]'],
    ['no launch', [], 'MANIFEST_INVALID', 'launches'],
    ['a model that QEMU does not have', [{ vmm: 'qemu-kvm', cpu: ['EPYC-Siena'] }], 'LAUNCH_INVALID', 'launches[0]'],
    ['a vCPU count that does not affect the digest', [{ vmm: 'hyperv', vcpus: [2] }], 'LAUNCH_INVALID', 'launches[0]'],
  ])('cannot be %s, and the error names the place', async (_, launches, code, jsonPath) => {
    const { lock } = await withLaunches(launches);
    expect(() => manifestLaunches(lock)).toThrow(expect.objectContaining({ code }) as Error);
    try {
      manifestLaunches(lock);
    } catch (error) {
      expect(error).toMatchObject({ where: { jsonPath: pathOf(jsonPath), line: expect.any(Number) as number } });
    }
  });
});
