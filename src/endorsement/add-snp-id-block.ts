import { createHash, type KeyObject } from 'node:crypto';
import { IgvmError } from '../errors/igvm-error';
import type { IgvmFile, SnpIdBlockDirective, SnpPublicKey, SnpSignature } from '../igvm/model';
import { measure } from '../measurement/measure';
import { platformHeader } from '../igvm/platforms';
import { corimSvn } from './corim';
import { CORIM_SIZE_LIMIT } from './corims';
import { readAll } from '../memory/byte-source';
import {
  P384_SIZE,
  type P384Signature,
  p384KeyOf,
  p384Point,
  parseEcdsaSignature,
  parseP384PublicKey,
  signWithTemporaryKey,
  verifyP384,
} from './ecdsa-p384';
import {
  guestPolicy,
  ID_BLOCK_VERSION,
  parseSnpIdBlock,
  SNP_IDENTITY,
  snpIdBlock,
  type SnpIdentity,
} from './guest-documents';

/** ID_KEY_ALGO and the curve of an SNP ID block (SEV-SNP firmware ABI, chapter 10). */
const ECDSA_P384_SHA384 = 1;
const CURVE_P384 = 2;

/** Bytes of a number in the keys and signatures of an ID block, little-endian. */
const COMPONENT_SIZE = 72;

/** The signer of the ID block. */
export type SnpIdBlockSigner =
  /** The .idblock file of the build, signed outside; all three are files. */
  | { kind: 'outOfBand'; idBlock: Uint8Array; signature: Uint8Array; publicKey: Uint8Array }
  /** A temporary key, for development. */
  | { kind: 'temporaryKey'; guestSvn: number; identity: SnpIdentity };

/** Facts about the guest from its manifest or from the documents beside the image. */
export interface KnownGuest {
  guestSvn?: number;
  identity?: SnpIdentity;
}

/** A file with an ID block, and the key that signed it. */
export interface SignedIdBlock {
  file: IgvmFile;
  signer: string;
}

/**
 * The file with a signed ID block after its other directives (openvmm igvmfilegen/src/snp_id_block.rs). The block is not measured, so the
 * digest inside stays correct. Measures the file, so it reads all of it.
 * @param known the contents of the block. Facts that are not known come from the image's CoRIM, or must be an identity of our builds.
 * @throws IgvmError MEASUREMENT_UNAVAILABLE, MEASUREMENT_IMPOSSIBLE, ID_BLOCK_PRESENT; ID_BLOCK_INVALID also when the block doesn't match
 *   the image, or its signature or key
 */
export async function withSnpIdBlock(
  file: IgvmFile,
  signer: SnpIdBlockSigner,
  known: KnownGuest = {},
): Promise<SignedIdBlock> {
  const { compatibilityMask } = platformHeader(file, 'snp');
  const present = file.directives.some(
    (directive) => directive.type === 'snpIdBlock' && directive.compatibilityMask === compatibilityMask,
  );
  if (present) throw new IgvmError('ID_BLOCK_PRESENT', 'the image already has an SNP ID block');
  const [measurement] = await measure(file, { platforms: ['snp'] });
  const policy = guestPolicy(file, compatibilityMask);
  if (measurement === undefined || policy === undefined) {
    throw new IgvmError('MEASUREMENT_IMPOSSIBLE', 'the file has no guest policy for its SEV-SNP platform');
  }
  const { bytes, signature, key } = sign(signer, measurement.digest, policy);
  checkBlock(bytes, file, compatibilityMask, known);
  const directive = directiveOf(bytes, compatibilityMask, signature, key);
  return { file: { ...file, directives: [...file.directives, directive] }, signer: keyText(directive.idPublicKey) };
}

interface SignedBlock {
  bytes: Uint8Array;
  signature: P384Signature;
  key: KeyObject;
}

function sign(signer: SnpIdBlockSigner, ld: Uint8Array, policy: bigint): SignedBlock {
  if (signer.kind === 'temporaryKey') {
    const bytes = snpIdBlock({ ld, policy, guestSvn: signer.guestSvn, ...signer.identity });
    return { bytes, ...signWithTemporaryKey(bytes) };
  }
  const { idBlock } = signer;
  const block = parseSnpIdBlock(idBlock);
  if (Buffer.compare(block.ld, ld) !== 0) {
    throw invalid('the ID block does not have the launch digest of the image: it belongs to another build');
  }
  if (block.policy !== policy) {
    throw invalid(
      `the ID block has the guest policy 0x${block.policy.toString(16)}, and the image 0x${policy.toString(16)}`,
    );
  }
  const signature = parseEcdsaSignature(signer.signature);
  const key = parseP384PublicKey(signer.publicKey);
  if (!verifyP384(idBlock, key, signature)) {
    throw invalid('the signature does not verify: ID block, signature and public key do not match');
  }
  return { bytes: idBlock, signature, key };
}

/** Checks the fields that no digest covers: version, security version and identity must be those of the guest. */
function checkBlock(bytes: Uint8Array, file: IgvmFile, compatibilityMask: number, known: KnownGuest): void {
  const { version, guestSvn, familyId, imageId } = parseSnpIdBlock(bytes);
  if (version !== ID_BLOCK_VERSION) {
    throw invalid(`the ID block has version ${version}, and the firmware accepts only version ${ID_BLOCK_VERSION}`);
  }
  for (const svn of [known.guestSvn, svnOfCorim(file, compatibilityMask)]) {
    if (svn !== undefined && svn !== guestSvn) {
      throw invalid(`the ID block has security version ${guestSvn}, and the guest ${svn}`);
    }
  }
  const identities: readonly SnpIdentity[] =
    known.identity === undefined ? Object.values(SNP_IDENTITY) : [known.identity];
  const isKnown = identities.some(
    (each) => Buffer.compare(each.familyId, familyId) === 0 && Buffer.compare(each.imageId, imageId) === 0,
  );
  if (!isKnown) throw invalid('the family or image ID in the ID block is not that of the guest');
}

/** The security version of a guest in the CoRIM of a file. */
function svnOfCorim({ initializations }: IgvmFile, compatibilityMask: number): number | undefined {
  for (const header of initializations) {
    if (header.type !== 'corimDocument' || header.compatibilityMask !== compatibilityMask) continue;
    if (header.content.size <= CORIM_SIZE_LIMIT) return corimSvn(readAll(header.content, CORIM_SIZE_LIMIT));
  }
  return undefined;
}

/**
 * Checks the signature of an ID block in an image.
 * @param bytes the signed bytes of the block
 * @returns a description of the key, for people
 * @throws IgvmError ID_BLOCK_INVALID
 */
export function checkSignedIdBlock(block: SnpIdBlockDirective, bytes: Uint8Array): string {
  const { idKeyAlgorithm, idPublicKey, idKeySignature, authorKeyEnabled, authorKeyAlgorithm } = block;
  if (authorKeyEnabled) throw invalid('has an author key, which is not supported');
  const author = [
    block.authorKeySignature.r,
    block.authorKeySignature.s,
    block.authorPublicKey.qx,
    block.authorPublicKey.qy,
  ];
  if (
    authorKeyAlgorithm !== 0 ||
    block.authorPublicKey.curve !== 0 ||
    author.some((part) => part.some((byte) => byte !== 0))
  ) {
    throw invalid('has parts of an author key, but states that it has none');
  }
  const numbers = [idPublicKey.qx, idPublicKey.qy, idKeySignature.r, idKeySignature.s].map(bigEndian);
  const [x, y, r, s] = numbers;
  const key = x === undefined || y === undefined ? undefined : p384KeyOf({ x, y });
  const isRight =
    idKeyAlgorithm === ECDSA_P384_SHA384 &&
    idPublicKey.curve === CURVE_P384 &&
    key !== undefined &&
    r !== undefined &&
    s !== undefined &&
    verifyP384(bytes, key, { r, s });
  if (!isRight) throw invalid('has a signature that does not verify');
  return keyText(idPublicKey);
}

/** The bytes of a public key that the firmware hashes (SEV-SNP firmware ABI, chapter 10). */
const KEY_SIZE = 0x404;

/** A key, described by its ID_KEY_DIGEST in attestation reports. */
function keyText({ curve, qx, qy }: SnpPublicKey): string {
  const bytes = new Uint8Array(KEY_SIZE);
  new DataView(bytes.buffer).setUint32(0, curve, true);
  bytes.set(qx, 4);
  bytes.set(qy, 4 + COMPONENT_SIZE);
  return `the key with ID_KEY_DIGEST ${createHash('sha384').update(bytes).digest('hex')}`;
}

/** A number in the ID block; undefined when it is too large for P-384. */
function bigEndian(littleEndianBytes: Uint8Array): Uint8Array | undefined {
  const isSmall = littleEndianBytes.subarray(P384_SIZE).every((byte) => byte === 0);
  return isSmall ? Uint8Array.from(littleEndianBytes.subarray(0, P384_SIZE)).reverse() : undefined;
}

function directiveOf(
  bytes: Uint8Array,
  compatibilityMask: number,
  { r, s }: P384Signature,
  key: KeyObject,
): SnpIdBlockDirective {
  const { ld, familyId, imageId, version, guestSvn } = parseSnpIdBlock(bytes);
  const { x, y } = p384Point(key);
  return {
    type: 'snpIdBlock',
    compatibilityMask,
    authorKeyEnabled: false,
    ld,
    familyId,
    imageId,
    version,
    guestSvn,
    idKeyAlgorithm: ECDSA_P384_SHA384,
    authorKeyAlgorithm: 0,
    idKeySignature: { r: littleEndian(r), s: littleEndian(s) },
    idPublicKey: { curve: CURVE_P384, qx: littleEndian(x), qy: littleEndian(y) },
    authorKeySignature: NO_SIGNATURE,
    authorPublicKey: NO_KEY,
  };
}

const NO_SIGNATURE: SnpSignature = { r: new Uint8Array(COMPONENT_SIZE), s: new Uint8Array(COMPONENT_SIZE) };
const NO_KEY: SnpPublicKey = { curve: 0, qx: new Uint8Array(COMPONENT_SIZE), qy: new Uint8Array(COMPONENT_SIZE) };

function littleEndian(bigEndian: Uint8Array): Uint8Array {
  const result = new Uint8Array(COMPONENT_SIZE);
  result.set(Uint8Array.from(bigEndian).reverse());
  return result;
}

const invalid = (message: string): IgvmError => new IgvmError('ID_BLOCK_INVALID', message);
