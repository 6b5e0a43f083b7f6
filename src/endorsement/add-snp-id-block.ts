import type { KeyObject } from 'node:crypto';
import { IgvmError } from '../errors/igvm-error';
import type { IgvmFile, SnpIdBlockDirective, SnpPublicKey, SnpSignature } from '../igvm/model';
import { measure } from '../measurement/measure';
import { platformHeader } from '../measurement/measured-platform';
import {
  type P384Signature,
  p384Point,
  parseEcdsaSignature,
  parseP384PublicKey,
  signWithTemporaryKey,
  verifyP384,
} from './ecdsa-p384';
import { guestPolicy, parseSnpIdBlock, type SnpIdentity, snpIdBlock } from './snp-id-block';

/** ID_KEY_ALGO and the curve of an SNP ID block (SEV-SNP firmware ABI, chapter 10). */
const ECDSA_P384_SHA384 = 1;
const CURVE_P384 = 2;

/** Bytes of a number in the ID block's keys and signatures, little-endian. */
const COMPONENT_SIZE = 72;

/** Who signs the ID block. */
export type SnpIdBlockSigner =
  /** Someone else has signed the .idblock file of the build; all three as files. */
  | { kind: 'outOfBand'; idBlock: Uint8Array; signature: Uint8Array; publicKey: Uint8Array }
  /** A key made on the spot, for development. */
  | { kind: 'temporaryKey'; guestSvn: number; identity: SnpIdentity };

/**
 * The file with a signed ID block behind its other directives (openvmm igvmfilegen/src/snp_id_block.rs). It is not measured, so
 * the digest inside stays right. Measures the file, so it reads all of it.
 * @throws IgvmError MEASUREMENT_UNAVAILABLE, MEASUREMENT_IMPOSSIBLE, ID_BLOCK_PRESENT; ID_BLOCK_INVALID also when block and
 *   image, or block, signature and key don't belong together
 */
export async function withSnpIdBlock(file: IgvmFile, signer: SnpIdBlockSigner): Promise<IgvmFile> {
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
  return { ...file, directives: [...file.directives, directiveOf(bytes, compatibilityMask, signature, key)] };
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
    throw invalid('the ID block has another launch digest than the image: it belongs to another build');
  }
  if (block.policy !== policy) {
    throw invalid(
      `the ID block has the guest policy 0x${block.policy.toString(16)}, and the image 0x${policy.toString(16)}`,
    );
  }
  const signature = parseEcdsaSignature(signer.signature);
  const key = parseP384PublicKey(signer.publicKey);
  if (!verifyP384(idBlock, key, signature)) {
    throw invalid('the signature does not verify: ID block, signature and public key do not belong together');
  }
  return { bytes: idBlock, signature, key };
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
