import { constants, type KeyObject, verify, X509Certificate } from 'node:crypto';
import { IgvmError } from '../errors/igvm-error';
import type { CorimHeader, IgvmFile } from '../igvm/model';
import { printable } from '../errors/printable';
import { measure } from '../measurement/measure';
import { bytesSource, readAll } from '../memory/byte-source';
import { MEASURED_PLATFORMS, type MeasuredPlatform, platformHeader } from '../igvm/platforms';
import { corimDocument, corimSvn } from './corim';
import { CORIM_SIZE_LIMIT } from './corims';
import { decodeCoseSign1, encodeDetached, signedBytes } from './cose-sign1';

/** COSE algorithm PS384: RSASSA-PSS with SHA-384 (RFC 8230). */
const PS384 = -38;

/** Bytes of the salt of PS384, as many as its hash has. */
const PS384_SALT_SIZE = 48;

/** A signature for the CoRIM document of an image. */
export type CorimSignature =
  /** A COSE_Sign1 with the document inside. */
  | { kind: 'bundle'; bytes: Uint8Array }
  /** A COSE_Sign1 without payload, which is added to the file unchanged. */
  | { kind: 'detached'; bytes: Uint8Array };

/** Options for checking a signature. */
export interface SignatureOptions {
  /** Whether RSA keys of 2048 bits are allowed. Default: at least 3072, to match SHA-384 (NIST SP 800-57, part 1, 5.6.1). */
  allowRsa2048?: boolean;
}

/** Bits of the shortest allowed RSA key. */
const LEAST_RSA_BITS = { usual: 3072, allowed: 2048 } as const;

/** A file with a CoRIM signature, and its signer. */
export interface SignedCorim {
  file: IgvmFile;
  signer: string;
}

/**
 * The file with a signature for a platform's CoRIM document. Document and signature are placed after all other initialization headers,
 * and replace a previous signature for the platform (openvmm igvmfilegen/src/corim_signature/mod.rs). Checks the signature, and that the
 * document is the one that a build writes for the launch digest of the image. Doesn't check the chain and the validity of the
 * certificate. Measures the file, so it reads all of it.
 * @param options `guestSvn`: the required security version of the document, if known
 * @throws IgvmError MEASUREMENT_UNAVAILABLE, MEASUREMENT_IMPOSSIBLE, CORIM_MISSING, CORIM_INVALID, CORIM_SIGNATURE_INVALID
 */
export async function withCorimSignature(
  file: IgvmFile,
  platform: MeasuredPlatform,
  signature: CorimSignature,
  options: SignatureOptions & { guestSvn?: number } = {},
): Promise<SignedCorim> {
  const { compatibilityMask } = platformHeader(file, platform);
  const document = file.initializations.find(
    (header): header is CorimHeader =>
      header.type === 'corimDocument' && header.compatibilityMask === compatibilityMask,
  );
  if (document === undefined) {
    throw new IgvmError(
      'CORIM_MISSING',
      `the image has no CoRIM document for ${MEASURED_PLATFORMS[platform].label} to sign`,
    );
  }
  const content = readAll(document.content, CORIM_SIZE_LIMIT);
  const bytes = signature.kind === 'bundle' ? detachBundle(signature.bytes, content) : signature.bytes;
  const signer = verifyCorimSignature(bytes, content, options);
  await checkDocument(file, platform, content, options.guestSvn);
  const isReplaced = (header: { type: string; compatibilityMask?: number }): boolean =>
    (header.type === 'corimDocument' || header.type === 'corimSignature') &&
    header.compatibilityMask === compatibilityMask;
  const signed: IgvmFile = {
    ...file,
    initializations: [
      ...file.initializations.filter((header) => !isReplaced(header)),
      document,
      { type: 'corimSignature', compatibilityMask, content: bytesSource(bytes) },
    ],
  };
  return { file: signed, signer };
}

/** Checks that a document follows from the launch digest and security version. Otherwise it endorses something other than the image. */
async function checkDocument(
  file: IgvmFile,
  platform: MeasuredPlatform,
  document: Uint8Array,
  known: number | undefined,
): Promise<void> {
  const [measurement] = await measure(file, { platforms: [platform] });
  const guestSvn = corimSvn(document);
  const isOfImage =
    measurement !== undefined &&
    guestSvn !== undefined &&
    Buffer.compare(corimDocument(platform, measurement.digest, guestSvn), document) === 0;
  if (isOfImage && known !== undefined && known !== guestSvn) {
    throw new IgvmError(
      'CORIM_INVALID',
      `the CoRIM document in the image has security version ${guestSvn}, and the guest ${known}`,
    );
  }
  if (isOfImage) return;
  throw new IgvmError(
    'CORIM_INVALID',
    `the CoRIM document in the image endorses something other than the image's ${MEASURED_PLATFORMS[platform].label} guest`,
  );
}

/**
 * Checks a detached signature over a document with the certificate in its own header. Doesn't check the chain and the validity of the
 * certificate: these are up to the verifier.
 * @returns the signer, for people
 * @throws IgvmError CORIM_SIGNATURE_INVALID
 */
export function verifyCorimSignature(
  signature: Uint8Array,
  document: Uint8Array,
  { allowRsa2048 = false }: SignatureOptions = {},
): string {
  const sign1 = decodeCoseSign1(signature);
  if (sign1.payload !== undefined) throw invalid('the signature has its document inside: it is a bundle, not detached');
  if (sign1.signature.length === 0) throw invalid('the signature is empty');
  if (sign1.certificate === undefined) {
    throw invalid(
      'the protected header has no certificate of the signer: neither x5chain (label 33) nor x5bag (label 32)',
    );
  }
  if (sign1.algorithm !== PS384) {
    throw invalid(`the signature's COSE algorithm is ${sign1.algorithm}, and only PS384 (${PS384}) is supported`);
  }
  const { certificate, key, bits } = rsaKeyOf(sign1.certificate);
  const least = allowRsa2048 ? LEAST_RSA_BITS.allowed : LEAST_RSA_BITS.usual;
  if (bits < least) throw invalid(`the signer's RSA key has ${bits} bits, and at least ${least} are required`);
  const options = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: PS384_SALT_SIZE };
  if (!verify('sha384', signedBytes(sign1, document), options, sign1.signature)) {
    throw invalid(
      "the signature does not verify: it was made with another key than the certificate's, or over another document",
    );
  }
  return signerText(certificate, bits);
}

const signerText = ({ subject, fingerprint256, validFrom, validTo }: X509Certificate, bits: number): string =>
  `${printable(subject.replaceAll('\n', ', '))} (RSA ${bits}, SHA-256 ${fingerprint256.replaceAll(':', '')}, ` +
  `valid ${validFrom} to ${validTo}, neither validity nor chain checked)`;

function detachBundle(bundle: Uint8Array, document: Uint8Array): Uint8Array {
  const sign1 = decodeCoseSign1(bundle);
  if (sign1.payload === undefined) throw invalid('the bundle has no document inside: it is a detached signature');
  if (Buffer.compare(sign1.payload, document) !== 0) {
    throw invalid(
      `the bundle signs another document (${sign1.payload.length} bytes) than the one in the image (${document.length} bytes)`,
    );
  }
  return encodeDetached(sign1);
}

function rsaKeyOf(der: Uint8Array): { certificate: X509Certificate; key: KeyObject; bits: number } {
  let certificate: X509Certificate;
  let key: KeyObject;
  try {
    // X509Certificate also accepts PEM, which a COSE header must not have.
    if (der[0] !== 0x30) throw new Error('not DER');
    certificate = new X509Certificate(der);
    key = certificate.publicKey;
  } catch (cause) {
    throw new IgvmError(
      'CORIM_SIGNATURE_INVALID',
      "the signer's certificate is not an X.509 certificate (DER)",
      {},
      { cause },
    );
  }
  const { modulusLength: bits } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType !== 'rsa' || bits === undefined) {
    throw invalid("the key of the signer's certificate is not an RSA key");
  }
  return { certificate, key, bits };
}

const invalid = (message: string): IgvmError => new IgvmError('CORIM_SIGNATURE_INVALID', message);
