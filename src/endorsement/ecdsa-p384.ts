import {
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto';
import { IgvmError } from '../errors/igvm-error';

/** Bytes of a coordinate or scalar of P-384. */
export const P384_SIZE = 48;

/** A signature's two numbers, 48 bytes each, big-endian. */
export interface P384Signature {
  r: Uint8Array;
  s: Uint8Array;
}

/** A public key's point, 48 bytes each, big-endian. */
export interface P384Point {
  x: Uint8Array;
  y: Uint8Array;
}

/**
 * Reads a DER-encoded ECDSA signature (RFC 3279: SEQUENCE of two INTEGERs). Strict: shortest lengths, no negative numbers, no
 * bytes after it.
 * @throws IgvmError ID_BLOCK_INVALID
 */
export function parseEcdsaSignature(der: Uint8Array): P384Signature {
  const sequence = derValue(der, 0, 0x30);
  if (sequence.end !== der.length) throw invalid('the signature has bytes after its end');
  const r = derValue(der, sequence.start, 0x02);
  const s = derValue(der, r.end, 0x02);
  if (s.end !== sequence.end) throw invalid('the signature is not two numbers');
  return { r: unsigned(der.subarray(r.start, r.end)), s: unsigned(der.subarray(s.start, s.end)) };
}

/**
 * Reads a public key: an X.509 certificate or a SubjectPublicKeyInfo, in PEM or DER.
 * @throws IgvmError ID_BLOCK_INVALID, also for a key that is not on P-384, and for a private key
 */
export function parseP384PublicKey(bytes: Uint8Array): KeyObject {
  const key = publicKeyOf(bytes);
  if (key?.asymmetricKeyType !== 'ec') {
    throw invalid('the public key is neither a certificate nor a public key for ECDSA, in PEM or DER');
  }
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (curve !== 'secp384r1') throw invalid(`the public key is on the curve ${curve}, and SNP needs P-384`);
  return key;
}

/** Whether a signature over the SHA-384 of `bytes` was made with the key. */
export function verifyP384(bytes: Uint8Array, key: KeyObject, { r, s }: P384Signature): boolean {
  return verify('sha384', bytes, { key, dsaEncoding: 'ieee-p1363' }, Buffer.concat([r, s]));
}

export function p384Point(key: KeyObject): P384Point {
  const { x = '', y = '' }: JsonWebKey = key.export({ format: 'jwk' });
  return { x: padded(Buffer.from(x, 'base64url')), y: padded(Buffer.from(y, 'base64url')) };
}

/** The key with a given point; undefined for numbers that are not a point on the curve. */
export function p384KeyOf({ x, y }: P384Point): KeyObject | undefined {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');
  try {
    return createPublicKey({ key: { kty: 'EC', crv: 'P-384', x: text(x), y: text(y) }, format: 'jwk' });
  } catch {
    return undefined;
  }
}

/** Signs `bytes` with a new key that is used only once. */
export function signWithTemporaryKey(bytes: Uint8Array): { signature: P384Signature; key: KeyObject } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const both = sign('sha384', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return { signature: { r: both.subarray(0, P384_SIZE), s: both.subarray(P384_SIZE) }, key: publicKey };
}

function publicKeyOf(bytes: Uint8Array): KeyObject | undefined {
  const text = Buffer.from(bytes).toString('latin1').trimStart();
  const label = /^-----BEGIN ([A-Z0-9 ]+)-----/.exec(text)?.[1];
  try {
    if (label === 'CERTIFICATE') return new X509Certificate(text).publicKey;
    if (label === 'PUBLIC KEY') return createPublicKey(text);
    if (label !== undefined || bytes[0] !== 0x30) return undefined;
  } catch {
    return undefined;
  }
  try {
    return new X509Certificate(bytes).publicKey;
  } catch {
    // Not a certificate, so it should be a plain key.
  }
  try {
    return createPublicKey({ key: Buffer.from(bytes), format: 'der', type: 'spki' });
  } catch {
    return undefined;
  }
}

/** The start and end of the contents of the DER value at `at`. Signatures are short: the length is one byte, or 0x81 and one byte. */
function derValue(der: Uint8Array, at: number, tag: number): { start: number; end: number } {
  const [found, first, second] = der.subarray(at, at + 3);
  if (found !== tag || first === undefined) throw invalid('the signature is not a DER-encoded ECDSA signature');
  const isLong = first === 0x81;
  const length = isLong ? second : first;
  if (length === undefined || length > 0xff || (isLong ? length < 0x80 : first >= 0x80)) {
    throw invalid('the signature has a length that is not DER');
  }
  const start = at + (isLong ? 3 : 2);
  const end = start + length;
  if (end > der.length) throw invalid('the signature is cut off');
  return { start, end };
}

function unsigned(integer: Uint8Array): Uint8Array {
  const [first, second] = integer;
  if (first === undefined) throw invalid('a number of the signature is empty');
  if (first >= 0x80) throw invalid('a number of the signature is negative');
  const hasLeadingZero = first === 0 && second !== undefined;
  if (hasLeadingZero && second < 0x80) throw invalid('a number of the signature has superfluous zeros');
  return padded(hasLeadingZero ? integer.subarray(1) : integer);
}

function padded(bytes: Uint8Array): Uint8Array {
  if (bytes.length > P384_SIZE) throw invalid('a number of the signature is too large for P-384');
  const result = new Uint8Array(P384_SIZE);
  result.set(bytes, P384_SIZE - bytes.length);
  return result;
}

const invalid = (message: string): IgvmError => new IgvmError('ID_BLOCK_INVALID', message);
