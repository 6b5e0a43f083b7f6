import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CLI_CODES, ENDORSEMENT_CODES, FORMAT_CODES, LOCK_CODES } from '../errors/codes';
import { crc32 } from '../files/hashes';
import { dll } from '../igvm/firmware-dll.fixture';
import { fileOf, platformOf, runOf, patternPage, written } from '../igvm/igvm-file.fixture';
import { PLATFORM_TYPE } from '../igvm/model';
import { tdxFile } from '../lock/lock.fixture';
import { signedCorim } from '../endorsement/signer.fixture';
import { bytesSource, EMPTY_SOURCE } from '../memory/byte-source';
import { KERNEL, linuxGuest, type Provocation, type Scene, shownBy } from './scene.fixture';

const FIXTURES = join(__dirname, '..', 'igvm', 'fixtures');

/** Changes a value in an image's headers, together with the checksum, and measures the image. */
async function withHeader(scene: Scene, at: number, value: number): Promise<string> {
  await scene.image();
  scene.change('image.igvm', (bytes) => {
    bytes.writeUInt32LE(value, at);
    bytes.writeUInt32LE(0, 20);
    const start = bytes.readUInt32LE(8);
    const end = start + bytes.readUInt32LE(12);
    bytes.writeUInt32LE(crc32(bytes.subarray(start, end), crc32(bytes.subarray(0, start))), 20);
  });
  return scene.nxIgvm('measure', 'image.igvm');
}

/** Byte offsets: the version in the fixed header, and the mask in the platform header after it. */
const VERSION = 4;
const PLATFORM_MASK = 32;

/** Writes the image of a TDX guest. @param contents decides the contents of its page */
async function tdxImage(scene: Scene, contents: number): Promise<void> {
  scene.write('image.igvm', (await written(tdxFile(contents))).bytes);
}

async function lockedImage(scene: Scene): Promise<void> {
  await tdxImage(scene, 1);
  await scene.nxIgvm('measure', 'image.igvm', '--update-lock', 'igvm.lock.json');
}

const verify = (scene: Scene): Promise<string> => scene.nxIgvm('verify', 'image.igvm', '--lock', 'igvm.lock.json');

/** An image with an SNP guest, written by the igvm crate. */
const SNP_IMAGE = join(FIXTURES, 'version-1.igvm');

const snpImage = (scene: Scene): void => copyFileSync(SNP_IMAGE, scene.path('image.igvm'));

const sign = (scene: Scene, ...flags: string[]): Promise<string> =>
  scene.nxIgvm('add-snp-id-block', '-i', 'image.igvm', '-o', 'image.igvm', ...flags);

const addCorimSignature = (scene: Scene, platform: string): Promise<string> => {
  scene.write('signature.cbor', 'not a signature');
  const flags = ['--platform', platform, '--corim-signature', 'signature.cbor'];
  return scene.nxIgvm('patch-corim-signature', '-i', 'image.igvm', '-o', 'signed.igvm', ...flags);
};

export const IMAGE_ERRORS: Record<
  keyof typeof FORMAT_CODES | keyof typeof ENDORSEMENT_CODES | keyof typeof LOCK_CODES | keyof typeof CLI_CODES,
  Provocation
> = {
  IGVM_MALFORMED: [
    'inspects a file that is not an image',
    (scene) => {
      scene.write('notes.igvm', 'to be written');
      return scene.nxIgvm('dump', 'notes.igvm');
    },
  ],
  IGVM_UNSUPPORTED: ['measures an image of a later format version', (scene) => withHeader(scene, VERSION, 3)],
  IGVM_IN_DLL: [
    'signs the image inside a firmware DLL',
    (scene) => {
      scene.write('image.igvm', dll({ image: readFileSync(SNP_IMAGE) }));
      return sign(scene, '--guest-svn', '1');
    },
  ],
  MAP_INVALID: [
    'gives the map of another image',
    async (scene) => {
      await tdxImage(scene, 1);
      scene.write('other.map', 'IGVM file isolation: None\n');
      return scene.nxIgvm('extract', 'image.igvm', '-m', 'other.map', '-o', 'parts');
    },
  ],
  IGVM_INVALID: ['measures an image whose platform has no mask', (scene) => withHeader(scene, PLATFORM_MASK, 0)],
  IGVM_TOO_LARGE: [
    'writes an image of a TiB with the library, whose headers alone are larger than the format allows',
    () => shownBy(() => written(fileOf([runOf(0, EMPTY_SOURCE, { pageCount: 2 ** 28 })]))),
  ],
  MEASUREMENT_UNAVAILABLE: [
    'requests the measurement of a platform that the image does not have',
    async (scene) => {
      await scene.image();
      return scene.nxIgvm('measure', 'image.igvm', '--platform', 'snp');
    },
  ],
  MEASUREMENT_IMPOSSIBLE: [
    'measures an SNP image without a policy',
    async (scene) => {
      const file = fileOf([runOf(0, patternPage(1))], { platforms: [platformOf(PLATFORM_TYPE.SEV_SNP)] });
      scene.write('image.igvm', (await written(file)).bytes);
      return scene.nxIgvm('measure', 'image.igvm');
    },
  ],
  MEASUREMENT_REFUSED: [
    'requests the digest for a VMM that does not load the image',
    (scene) => {
      snpImage(scene);
      return scene.nxIgvm('measure', 'image.igvm', '--vmm', 'openvmm-kvm');
    },
  ],
  LAUNCH_INVALID: [
    'names an unknown processor',
    (scene) => {
      snpImage(scene);
      return scene.nxIgvm('measure', 'image.igvm', '--vmm', 'qemu-kvm', '--cpu', 'Pentium');
    },
  ],
  ID_BLOCK_PRESENT: [
    'signs an image twice',
    async (scene) => {
      snpImage(scene);
      await sign(scene, '--guest-svn', '1');
      return sign(scene, '--guest-svn', '1');
    },
  ],
  ID_BLOCK_INVALID: [
    'signs a file that is not an ID block',
    (scene) => {
      snpImage(scene);
      scene.write('block', 'too short');
      return sign(scene, '--id-block', 'block', '--id-signature', 'block', '--id-public-key', 'block');
    },
  ],
  CORIM_MISSING: [
    'signs a CoRIM document that the image does not have',
    (scene) => {
      snpImage(scene);
      return addCorimSignature(scene, 'snp');
    },
  ],
  CORIM_INVALID: [
    'signs a CoRIM document that endorses something other than the image',
    async (scene) => {
      const content = bytesSource(Uint8Array.of(1, 2, 3));
      const file = tdxFile(1);
      const forged = { ...file, initializations: [{ type: 'corimDocument', compatibilityMask: 1, content } as const] };
      scene.write('image.igvm', (await written(forged)).bytes);
      scene.write('signature.cose', signedCorim(Uint8Array.of(1, 2, 3)));
      const flags = ['--platform', 'tdx', '--corim-signature', 'signature.cose', '--allow-rsa-2048'];
      return scene.nxIgvm('patch-corim-signature', '-i', 'image.igvm', '-o', 'signed.igvm', ...flags);
    },
  ],
  CORIM_SIGNATURE_INVALID: [
    'adds a file that is not a signature',
    async (scene) => {
      await scene.image();
      return addCorimSignature(scene, 'vbs');
    },
  ],
  GIT_FAILED: [
    'requests the history of a lock that is not in a repository',
    async (scene) => {
      await tdxImage(scene, 1);
      await scene.nxIgvm('measure', 'image.igvm', '--update-lock', 'igvm.lock.json');
      return scene.nxIgvm('explain', '0'.repeat(96), 'image.igvm', '--lock', 'igvm.lock.json');
    },
  ],
  STATEMENT_SIGNING: [
    'signs a statement with a file that is not a key',
    async (scene) => {
      await tdxImage(scene, 1);
      scene.write('key.pem', 'to be fetched');
      return scene.nxIgvm('reference-values', 'image.igvm', '-o', 'values', '--sign-key', 'key.pem');
    },
  ],
  EVIDENCE_INVALID: [
    'verifies a file that is not a report',
    (scene) => {
      scene.write('report.bin', 'to be fetched');
      return scene.nxIgvm('verify-report', 'report.bin');
    },
  ],
  CERTIFICATE_INVALID: [
    'verifies a report with a file that is not a certificate',
    (scene) => {
      scene.write('report.bin', new Uint8Array(0x4a0).fill(2, 0, 1));
      scene.write('vcek.der', 'to be fetched');
      return scene.nxIgvm('verify-report', 'report.bin', '--certificate', 'vcek.der');
    },
  ],
  LOCK_MISSING: [
    'verifies an image before its lock is written',
    async (scene) => {
      await tdxImage(scene, 1);
      return verify(scene);
    },
  ],
  LOCK_INVALID: [
    'verifies an image with a lock of a later version',
    async (scene) => {
      await scene.image();
      scene.write('igvm.lock.json', { lockVersion: 1000, platforms: {} });
      return verify(scene);
    },
  ],
  LOCK_MISMATCH: [
    'verifies an image that has changed since its lock was reviewed',
    async (scene) => {
      await lockedImage(scene);
      await tdxImage(scene, 2);
      return verify(scene);
    },
  ],
  DEBUG_NOT_ALLOWED: [
    'locks an image whose guest the host may debug',
    async (scene) => {
      const policy = { type: 'guestPolicy', policy: 1n, compatibilityMask: 1 } as const;
      scene.write('image.igvm', (await written({ ...tdxFile(1), initializations: [policy] })).bytes);
      return scene.nxIgvm('measure', 'image.igvm', '--update-lock', 'igvm.lock.json');
    },
  ],
  PAGES_OVERLAP: [
    'locks an image with two pages for one address',
    async (scene) => {
      scene.write('image.igvm', (await written(tdxFile(1, 2, [runOf(0, patternPage(3))]))).bytes);
      return scene.nxIgvm('measure', 'image.igvm', '--update-lock', 'igvm.lock.json');
    },
  ],
  SIBLINGS_STALE: [
    'verifies an image with the map of another image beside it',
    async (scene) => {
      await lockedImage(scene);
      await scene.image(linuxGuest(), KERNEL);
      await tdxImage(scene, 1);
      return verify(scene);
    },
  ],
  USAGE: ['signs without naming a signature or key', (scene) => sign(scene)],
};
