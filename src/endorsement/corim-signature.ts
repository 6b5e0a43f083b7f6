import { constants, type KeyObject, verify, X509Certificate } from 'node:crypto';
import { IgvmError } from '../errors/igvm-error';
import type { CorimHeader, IgvmFile } from '../igvm/model';
import { bytesSource, readAll } from '../memory/byte-source';
import { MEASURED_PLATFORMS, type MeasuredPlatform, platformHeader } from '../measurement/measured-platform';
import { CORIM_SIZE_LIMIT } from './corims';
import { decodeCoseSign1, encodeDetached, signedBytes } from './cose-sign1';

/** COSE algorithm PS384: RSASSA-PSS with SHA-384 (RFC 8230). */
const PS384 = -38;

/** Bytes of PS384's salt: those of its hash. */
const PS384_SALT_SIZE = 48;

/** A signature for the CoRIM document of an image. */
export type CorimSignature =
  /** A COSE_Sign1 with the document inside. */
  | { kind: 'bundle'; bytes: Uint8Array }
  /** A COSE_Sign1 without payload; it goes into the file as it is. */
  | { kind: 'detached'; bytes: Uint8Array };

/**
 * The file with a signature for a platform's CoRIM document. Document and signature go behind all other initialization
 * headers, where a previous signature for the platform is replaced (openvmm igvmfilegen/src/corim_signature/mod.rs).
 * The signature is checked, the certificate's chain is not.
 * @throws IgvmError MEASUREMENT_UNAVAILABLE, CORIM_MISSING, CORIM_SIGNATURE_INVALID
 */
export function withCorimSignature(file: IgvmFile, platform: MeasuredPlatform, signature: CorimSignature): IgvmFile {
  const { compatibilityMask } = platformHeader(file, platform);
  const document = file.initializations.find(
    (header): header is CorimHeader =>
      header.type === 'corimDocument' && header.compatibilityMask === compatibilityMask,
  );
  if (document === undefined) {
    throw new IgvmError(
      'CORIM_MISSING',
      `the image has no CoRIM document for ${MEASURED_PLATFORMS[platform].label} that could be signed`,
    );
  }
  const content = readAll(document.content, CORIM_SIZE_LIMIT);
  const bytes = signature.kind === 'bundle' ? detachBundle(signature.bytes, content) : signature.bytes;
  verifyCorimSignature(bytes, content);
  const isReplaced = (header: { type: string; compatibilityMask?: number }): boolean =>
    (header.type === 'corimDocument' || header.type === 'corimSignature') &&
    header.compatibilityMask === compatibilityMask;
  return {
    ...file,
    initializations: [
      ...file.initializations.filter((header) => !isReplaced(header)),
      document,
      { type: 'corimSignature', compatibilityMask, content: bytesSource(bytes) },
    ],
  };
}

/**
 * Checks a detached signature over a document with the certificate in its own header.
 * @throws IgvmError CORIM_SIGNATURE_INVALID
 */
export function verifyCorimSignature(signature: Uint8Array, document: Uint8Array): void {
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
  const key = rsaKeyOf(sign1.certificate);
  const options = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: PS384_SALT_SIZE };
  if (!verify('sha384', signedBytes(sign1, document), options, sign1.signature)) {
    throw invalid(
      "the signature does not verify: it was made with another key than the certificate's, or over another document",
    );
  }
}

function detachBundle(bundle: Uint8Array, document: Uint8Array): Uint8Array {
  const sign1 = decodeCoseSign1(bundle);
  if (sign1.payload === undefined) throw invalid('the bundle has no document inside: it is a detached signature');
  if (Buffer.compare(sign1.payload, document) !== 0) {
    throw invalid(
      `the bundle signs another document (${sign1.payload.length} bytes) than the image has (${document.length} bytes)`,
    );
  }
  return encodeDetached(sign1);
}

function rsaKeyOf(certificate: Uint8Array): KeyObject {
  let key: KeyObject;
  try {
    // X509Certificate takes PEM as well, which a COSE header must not have.
    if (certificate[0] !== 0x30) throw new Error('not DER');
    key = new X509Certificate(certificate).publicKey;
  } catch (cause) {
    throw new IgvmError(
      'CORIM_SIGNATURE_INVALID',
      "the signer's certificate is not an X.509 certificate (DER)",
      {},
      { cause },
    );
  }
  if (key.asymmetricKeyType !== 'rsa') throw invalid("the key of the signer's certificate is not an RSA key");
  return key;
}

const invalid = (message: string): IgvmError => new IgvmError('CORIM_SIGNATURE_INVALID', message);
