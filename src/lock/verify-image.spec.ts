import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { corimDocument } from '../endorsement/corim';
import { identityDocument, SNP_IDENTITY, snpIdBlock } from '../endorsement/guest-documents';
import { fileOf, patternPage, platformOf, runOf, written } from '../igvm/igvm-file.fixture';
import { type CorimHeader, type IgvmFile, PLATFORM_TYPE } from '../igvm/model';
import { bytesSource } from '../memory/byte-source';
import { imageFolder, lockOf, TDX_MAP, tdxFile } from './lock.fixture';
import { readLock } from './lock-file';
import { changedLock, updateLock } from './update-lock';
import { verifyImage, verifyText } from './verify-image';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

async function locked(file = tdxFile(), map: string | null = TDX_MAP) {
  const paths = await imageFolder(file, map ?? undefined);
  folders.push(paths.folder);
  await updateLock(paths.image, paths.lock, 'guest.igvm');
  return paths;
}

const replace = async (image: string, file = tdxFile(1, 9)): Promise<void> =>
  writeFileSync(image, (await written(file)).bytes);

describe('verifying an image', () => {
  it('accepts the image from which the lock was written', async () => {
    const report = await verifyImage(await locked());
    expect(report).toEqual({ platforms: ['tdx'], differences: [], complaints: [], signers: [] });
    expect(verifyText(report)).toBe('matches its lock: TDX');
  });

  it('names both digests and the changed region of another image', async () => {
    const paths = await locked();
    await replace(paths.image);
    const text = verifyText(await verifyImage(paths));
    expect(text).toMatch(
      /TDX: the launch digest is not the expected one\n {2}expected [0-9A-F]{96}\n {2}actual {3}[0-9A-F]{96}\n/,
    );
    expect(text).toContain('linux-initrd 0x1000-0x2000: other contents');
    expect(text).not.toContain('linux-kernel');
  });

  it('takes the names of regions from the lock if there is no map', async () => {
    const paths = await locked();
    await replace(paths.image);
    rmSync(`${paths.image}.map`);
    expect(verifyText(await verifyImage(paths))).toContain('linux-initrd 0x1000-0x2000: other contents');
  });

  it('fails without a lock', async () => {
    const paths = await locked();
    rmSync(paths.lock);
    await expect(verifyImage(paths)).rejects.toMatchObject({ code: 'LOCK_MISSING' });
  });

  it('has nothing to check in an image without isolated guests', async () => {
    for (const type of [PLATFORM_TYPE.VSM_ISOLATION, PLATFORM_TYPE.NATIVE]) {
      const version = type === PLATFORM_TYPE.NATIVE ? 2 : 1;
      const file = fileOf([runOf(0, patternPage(1))], { version, platforms: [platformOf(type)] });
      const paths = await imageFolder(file);
      folders.push(paths.folder);
      const report = await verifyImage(paths);
      expect(report.differences).toEqual([]);
      expect(verifyText(report)).toContain('nothing to verify');
    }
  });

  it('requires a lock for a VBS image whose CoRIM is only beside it', async () => {
    const file = fileOf([runOf(0, patternPage(1))], { platforms: [platformOf(PLATFORM_TYPE.VSM_ISOLATION)] });
    const paths = await imageFolder(file);
    folders.push(paths.folder);
    writeFileSync(join(paths.folder, 'guest-vbs.cbor'), 'a document');
    await expect(verifyImage(paths)).rejects.toMatchObject({ code: 'LOCK_MISSING' });
  });

  it('fails if an image that has a lock is no longer isolated', async () => {
    const paths = await locked();
    rmSync(`${paths.image}.map`);
    await replace(paths.image, fileOf([], { version: 2, platforms: [platformOf(PLATFORM_TYPE.NATIVE)] }));
    expect(verifyText(await verifyImage(paths))).toMatch(
      /native: in the image, but not in the lock\nTDX: in the lock, but not in the image$/,
    );
  });

  it('notices a map that does not fit the image', async () => {
    const paths = await locked();
    writeFileSync(`${paths.image}.map`, TDX_MAP.replace('0000000000002000 (0x1000', '0000000000003000 (0x2000'));
    await expect(verifyImage(paths)).rejects.toMatchObject({
      code: 'SIBLINGS_STALE',
      message: expect.stringContaining('guest.igvm.map'),
    });
  });

  it('notices an old image beside the identity document of a new one', async () => {
    const paths = await imageFolder(tdxFile(), TDX_MAP);
    folders.push(paths.folder);
    const digest = (await lockOf(tdxFile())).platforms['tdx']!.digests![0]!.digest;
    const identity = (hex: string) =>
      identityDocument({ platform: 'tdx', digest: Buffer.from(hex, 'hex'), guestSvn: 1, debugEnabled: false });
    const sibling = join(paths.folder, 'guest-tdx.json');
    writeFileSync(sibling, identity(digest));
    await updateLock(paths.image, paths.lock, 'guest.igvm');
    await expect(verifyImage(paths)).resolves.toMatchObject({ differences: [] });
    writeFileSync(sibling, identity(digest.replaceAll(/^./g, (digit: string) => (digit === '0' ? '1' : '0'))));
    await expect(verifyImage(paths)).rejects.toMatchObject({ code: 'SIBLINGS_STALE' });
    writeFileSync(sibling, 'null');
    await expect(verifyImage(paths)).rejects.toMatchObject({ code: 'SIBLINGS_STALE' });
  });
});

describe('documents that do not match the image', () => {
  const policy = 0x30000n;
  const snp = (seed: number): IgvmFile =>
    fileOf([runOf(0, patternPage(seed))], {
      platforms: [platformOf(PLATFORM_TYPE.SEV_SNP)],
      initializations: [{ type: 'guestPolicy', compatibilityMask: 1, policy }],
    });
  const corim = (...bytes: number[]): CorimHeader => ({
    type: 'corimDocument',
    compatibilityMask: 1,
    content: bytesSource(Uint8Array.from(bytes)),
  });

  it('include an ID block with another digest, and a file that is not an ID block', async () => {
    const paths = await imageFolder(snp(1));
    folders.push(paths.folder);
    const ld = Buffer.from((await lockOf(snp(1))).platforms['snp']!.digests![0]!.digest, 'hex');
    const sibling = join(paths.folder, 'guest-snp.idblock');
    writeFileSync(sibling, snpIdBlock({ ld, policy, guestSvn: 1, ...SNP_IDENTITY.openhcl }));
    await updateLock(paths.image, paths.lock, 'guest.igvm');
    await expect(verifyImage(paths)).resolves.toMatchObject({ differences: [] });
    ld[0]! ^= 1;
    for (const [bytes, why] of [
      [snpIdBlock({ ld, policy, guestSvn: 1, ...SNP_IDENTITY.openhcl }), 'is about another image'],
      ['junk', 'differs from the document that a build writes about this image'],
    ] as const) {
      writeFileSync(sibling, bytes);
      await expect(verifyImage(paths)).rejects.toMatchObject({
        code: 'SIBLINGS_STALE',
        message: `guest-snp.idblock ${why}`,
      });
    }
  });

  it('include a CoRIM document that differs from the one in the image', async () => {
    const digest = Buffer.from((await lockOf(tdxFile())).platforms['tdx']!.digests![0]!.digest, 'hex');
    const [right, wrong] = [corimDocument('tdx', digest, 3), corimDocument('tdx', digest, 4)];
    const paths = await locked({ ...tdxFile(), initializations: [corim(...right)] });
    const sibling = join(paths.folder, 'guest-tdx.cbor');
    writeFileSync(sibling, right);
    await expect(verifyImage(paths)).resolves.toMatchObject({ differences: [] });
    writeFileSync(sibling, wrong);
    await expect(verifyImage(paths)).rejects.toMatchObject({
      code: 'SIBLINGS_STALE',
      message: 'guest-tdx.cbor has security version 4 instead of 3',
    });
    rmSync(sibling);
    rmSync(`${paths.image}.map`);
    await replace(paths.image, { ...tdxFile(), initializations: [corim(...wrong)] });
    expect(verifyText(await verifyImage(paths))).toContain('svn: 3 before, now 4');
  });

  it('include a folder in the place of a document', async () => {
    const paths = await locked();
    mkdirSync(join(paths.folder, 'guest-tdx.json'));
    await expect(verifyImage(paths)).rejects.toMatchObject({ message: 'guest-tdx.json was not written by a build' });
  });

  it('only matter if there are any: a VBS image needs a lock only if a CoRIM endorses it', async () => {
    const vbs = (initializations: CorimHeader[]): IgvmFile => fileOf([runOf(0, patternPage(1))], { initializations });
    for (const [file, outcome] of [
      [vbs([]), 'resolves'],
      [vbs([corim(1)]), 'rejects'],
    ] as const) {
      const paths = await imageFolder(file);
      folders.push(paths.folder);
      const verifying = verifyImage(paths);
      if (outcome === 'resolves') await expect(verifying).resolves.toMatchObject({ platforms: [] });
      else await expect(verifying).rejects.toMatchObject({ code: 'LOCK_MISSING' });
    }
  });
});

describe('what a launch digest does not cover', () => {
  const policy = 0x30000n;
  const snp = (more: Partial<IgvmFile> = {}, bits = policy): IgvmFile =>
    fileOf([runOf(0, patternPage(1)), runOf(0x10000, patternPage(2), { flags: 2 })], {
      version: 2,
      platforms: [platformOf(PLATFORM_TYPE.SEV_SNP)],
      initializations: [{ type: 'guestPolicy', compatibilityMask: 1, policy: bits }],
      ...more,
    });
  const second = { ...platformOf(PLATFORM_TYPE.SEV), compatibilityMask: 2 };

  it.each<[string, IgvmFile, RegExp]>([
    ['a policy that allows debugging', snp({}, policy | (1n << 19n)), /policy debug: false before, now true/],
    ['another bit of the policy', snp({}, policy ^ (1n << 16n)), /policy smt: true before, now false/],
    [
      'a second policy that allows debugging',
      snp({
        initializations: [policy, 1n << 19n].map((each) => ({
          type: 'guestPolicy',
          compatibilityMask: 1,
          policy: each,
        })),
      }),
      /debug: false before, now true/,
    ],
    [
      'another boundary',
      snp({ platforms: [{ ...platformOf(PLATFORM_TYPE.SEV_SNP), sharedGpaBoundary: 1n << 40n }] }),
      /sharedGpaBoundary/,
    ],
    [
      'a second guest',
      snp({ platforms: [platformOf(PLATFORM_TYPE.SEV_SNP), second] }),
      /^SEV: in the image, but not in the lock/,
    ],
    [
      'other unmeasured contents',
      snp({ directives: [runOf(0, patternPage(1)), runOf(0x10000, patternPage(3), { flags: 2 })] }),
      /unmeasured 0x10000-0x11000 \(not measured\): other contents/,
    ],
    [
      'a page for a platform that the file does not have',
      snp({ directives: [...snp().directives, runOf(0x20000, patternPage(3), { compatibilityMask: 8 })] }),
      /for platforms that the file does not have/,
    ],
  ])('is compared, too: %s', async (_, changed, named) => {
    const paths = await locked(snp(), null);
    await expect(verifyImage(paths)).resolves.toMatchObject({ differences: [] });
    await replace(paths.image, changed);
    const report = await verifyImage(paths);
    expect(report.differences.flatMap(({ digests }) => digests)).toEqual([]);
    expect(verifyText(report)).toMatch(named);
  });

  it('rules out a lock if pages overlap', async () => {
    const paths = await locked(snp(), null);
    await replace(
      paths.image,
      snp({ directives: [...snp().directives, runOf(0x10000, patternPage(5), { flags: 2 })] }),
    );
    const error = { code: 'PAGES_OVERLAP', where: { gpa: { start: 0x10000, end: 0x11000 } } };
    await expect(verifyImage(paths)).rejects.toMatchObject(error);
    await expect(updateLock(paths.image, paths.lock, 'guest.igvm')).rejects.toMatchObject(error);
  });

  it('is refused in a new lock if it allows debugging, unless an option or the present lock permits that', async () => {
    const paths = await locked(snp(), null);
    const before = readFileSync(paths.lock, 'utf8');
    await replace(paths.image, snp({}, policy | (1n << 19n)));
    await expect(updateLock(paths.image, paths.lock, 'g')).rejects.toMatchObject({ code: 'DEBUG_NOT_ALLOWED' });
    expect(readFileSync(paths.lock, 'utf8')).toBe(before);
    writeFileSync(paths.lock, before.replace('"debug": false', '"debug": true'));
    await updateLock(paths.image, paths.lock, 'g');
    await expect(verifyImage(paths)).resolves.toMatchObject({ differences: [] });
    rmSync(paths.lock);
    await updateLock(paths.image, paths.lock, 'g', { allowDebug: true });
    expect(readLock(paths.lock).platforms['snp']).toMatchObject({ debug: true, policy: { debug: true } });
  });

  it('includes the description in the lock, which must match the image as well', async () => {
    const paths = await locked();
    const text = readFileSync(paths.lock, 'utf8');
    for (const [from, to] of [
      [/("sha256": ")[0-9a-f]{4}/, '$10000'],
      [/("linux-kernel")/, '"linux-other"'],
      [/("septVeDisable": )true/, '$1false'],
    ] as const) {
      if (!from.test(text)) continue;
      writeFileSync(paths.lock, text.replace(from, to));
      const { differences } = await verifyImage(paths);
      expect(differences).toMatchObject([{ platform: 'tdx', digests: [] }]);
    }
  });
});

describe('writing a lock', () => {
  it('leaves a lock with the same contents unchanged, whatever its formatting', async () => {
    const { image, lock } = await locked();
    const text = JSON.stringify(JSON.parse(readFileSync(lock, 'utf8')));
    writeFileSync(lock, text);
    expect((await updateLock(image, lock, 'guest.igvm')).isChanged).toBe(false);
    expect(readFileSync(lock, 'utf8')).toBe(text);
  });

  it('keeps the $schema of a lock, and takes that of a new lock from the manifest', async () => {
    const { folder, image, lock } = await locked();
    const manifest = {
      $schema: '../node_modules/nx-igvm/schemas/igvm.schema.json',
      guest_arch: 'x64',
      guest_configs: [{ guest_svn: 1, max_vtl: 0, isolation_type: 'none', image: 'none' }],
    };
    writeFileSync(join(folder, 'igvm.json'), JSON.stringify(manifest));
    rmSync(lock);
    await updateLock(image, lock, 'guest.igvm');
    expect(readLock(lock).$schema).toBe('../node_modules/nx-igvm/schemas/igvm.lock.schema.json');
    writeFileSync(lock, readFileSync(lock, 'utf8').replace('../node_modules', '/elsewhere'));
    await replace(image);
    await updateLock(image, lock, 'guest.igvm');
    expect(readLock(lock).$schema).toBe('/elsewhere/nx-igvm/schemas/igvm.lock.schema.json');
  });

  it('replaces a lock that cannot be parsed', async () => {
    const { image, lock } = await locked();
    const text = readFileSync(lock, 'utf8');
    writeFileSync(lock, '<<<<<<< HEAD');
    expect((await updateLock(image, lock, 'guest.igvm')).isChanged).toBe(true);
    expect(readFileSync(lock, 'utf8')).toBe(text);
  });

  it('replaces a lock of another version under any name, but no other file', async () => {
    const { folder, image } = await locked();
    const other = join(folder, 'expected.json');
    writeFileSync(other, '{ "lockVersion": 0 }');
    expect((await updateLock(image, other, 'guest.igvm')).isChanged).toBe(true);
    const manifest = join(folder, 'igvm.json');
    writeFileSync(manifest, '{ "guest_arch": "x64" }');
    await expect(updateLock(image, manifest, 'guest.igvm')).rejects.toMatchObject({
      code: 'LOCK_INVALID',
      where: { file: manifest },
    });
    expect(readFileSync(manifest, 'utf8')).toContain('guest_arch');
    await expect(updateLock(image, folder, 'guest.igvm')).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
  });

  it('does not replace the image', async () => {
    const { image } = await locked();
    const bytes = readFileSync(image);
    await expect(updateLock(image, image, 'guest.igvm')).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' });
    expect(readFileSync(image).equals(bytes)).toBe(true);
  });

  it('refuses an image without launch measurement, and one beside files from another build', async () => {
    const { folder, image, lock } = await locked();
    copyFileSync(image, join(folder, 'other.igvm'));
    writeFileSync(join(folder, 'other-tdx.json'), '{}');
    await expect(updateLock(join(folder, 'other.igvm'), lock, 'other')).rejects.toMatchObject({
      code: 'SIBLINGS_STALE',
    });
    rmSync(`${image}.map`);
    await replace(image, fileOf([], { version: 2, platforms: [platformOf(PLATFORM_TYPE.NATIVE)] }));
    await expect(updateLock(image, lock, 'guest')).rejects.toMatchObject({ code: 'MEASUREMENT_UNAVAILABLE' });
  });
});

describe('an image that has a platform without a launch digest', () => {
  const noPolicy = (seed: number) =>
    fileOf([runOf(0, patternPage(seed))], { platforms: [platformOf(PLATFORM_TYPE.SEV_SNP)] });
  const reason = { code: 'MEASUREMENT_IMPOSSIBLE', message: expect.stringContaining('guest policy') };

  it('gets no lock, because that would match any such image', async () => {
    const { image, lock } = await imageFolder(noPolicy(1));
    folders.push(dirname(image));
    await expect(updateLock(image, lock, 'guest.igvm')).rejects.toMatchObject(reason);
    expect(existsSync(lock)).toBe(false);
  });

  it('matches no lock', async () => {
    const paths = await locked();
    rmSync(`${paths.image}.map`);
    await replace(paths.image, noPolicy(2));
    await expect(verifyImage(paths)).rejects.toMatchObject(reason);
  });
});

describe('the text of a changed lock', () => {
  it('exists only if the lock does not match the image', async () => {
    const { image, lock } = await locked();
    const text = readFileSync(lock, 'utf8');
    writeFileSync(lock, JSON.stringify(JSON.parse(text)));
    expect(await changedLock(image, lock, 'guest')).toBeUndefined();
    writeFileSync(lock, text.replace('linux-kernel', 'renamed'));
    expect(await changedLock(image, lock, 'guest')).toBe(text);
    await replace(image);
    expect(await changedLock(image, lock, 'guest')).toContain('linux-kernel');
  });
});
