import { IgvmError } from '../errors/igvm-error';
import { type CborMap, type CborValue, cborTag, decodeCbor, encodeCbor, isCborTag, sortMaps } from './cbor';

/** CBOR tag of a COSE_Sign1 (RFC 9052), the form of a signed CoRIM. */
const SIGN1_TAG = 18;

/** Tags that older tools put around it (draft-ietf-rats-corim before 2025). */
const LEGACY_TAGS: readonly (number | bigint)[] = [500, 502];

/** Labels of the protected header (RFC 9052, 9360, 9597; draft-ietf-rats-corim, 4.2). */
const LABEL = {
  algorithm: 1,
  critical: 2,
  contentType: 3,
  corimMeta: 8,
  cwtClaims: 15,
  x5bag: 32,
  x5chain: 33,
} as const;

/** Optional parameters in the header of a signed CoRIM, and their required form. */
const OPTIONAL_LABELS: readonly (readonly [number, string, (value: CborValue) => boolean])[] = [
  [34, 'x5t', (value) => Array.isArray(value) && value.length === 2 && value[1] instanceof Uint8Array],
  [35, 'x5u', (value) => typeof value === 'string'],
];

/** Labels of a signature over the hash of a document (draft-ietf-cose-hash-envelope). We accept only signatures over the document. */
const HASH_ENVELOPE = [258, 259, 260] as const;

const CONTENT_TYPE = 'application/rim+cbor';

/** The parts of a signed CoRIM (draft-ietf-rats-corim, 4.2). */
export interface CoseSign1 {
  /** The protected header as it was signed. */
  protectedBytes: Uint8Array;
  /** COSE algorithm. */
  algorithm: number;
  /** Certificate of the signer (DER); undefined when the header has none. */
  certificate: Uint8Array | undefined;
  unprotected: CborMap;
  /** Undefined if the signature is detached. */
  payload: Uint8Array | undefined;
  signature: Uint8Array;
  /** Whether it has parts that the signature doesn't cover: an unprotected header, or something else in place of its payload. */
  hasUnsigned: boolean;
}

/**
 * Decodes a signed CoRIM, attached or detached. Doesn't check the signature.
 * @throws IgvmError CORIM_SIGNATURE_INVALID
 */
export function decodeCoseSign1(bytes: Uint8Array): CoseSign1 {
  let value = decodeCbor(bytes, 'the CoRIM signature');
  while (isCborTag(value) && LEGACY_TAGS.includes(value.tag)) value = value.value;
  if (!isCborTag(value) || value.tag !== SIGN1_TAG) throw invalid('the CoRIM signature is not a COSE_Sign1 (tag 18)');
  const parts = value.value;
  if (!Array.isArray(parts) || parts.length !== 4)
    throw invalid('a COSE_Sign1 must have four elements, but this one does not');
  const [protectedBytes, unprotected, payload, signature] = parts;
  if (!(protectedBytes instanceof Uint8Array)) throw invalid('the protected header is not a byte string');
  return {
    protectedBytes,
    ...protectedHeader(protectedBytes),
    // As in igvmfilegen, other values in these places are ignored.
    unprotected: unprotected instanceof Map ? (unprotected as CborMap) : new Map(),
    payload: payload instanceof Uint8Array ? payload : undefined,
    signature: signature instanceof Uint8Array ? signature : new Uint8Array(0),
    hasUnsigned:
      !(unprotected instanceof Map && unprotected.size === 0) || !(payload === null || payload instanceof Uint8Array),
  };
}

/** The same signature without its payload, encoded deterministically. */
export function encodeDetached({
  protectedBytes,
  unprotected,
  signature,
}: Pick<CoseSign1, 'protectedBytes' | 'unprotected' | 'signature'>): Uint8Array {
  return encodeCbor(cborTag(SIGN1_TAG, [protectedBytes, sortMaps(unprotected), null, signature]));
}

/** The signed bytes (RFC 9052, 4.4: Sig_structure), with a payload from elsewhere. */
export const signedBytes = ({ protectedBytes }: CoseSign1, payload: Uint8Array): Uint8Array =>
  encodeCbor(['Signature1', protectedBytes, new Uint8Array(0), Uint8Array.from(payload)]);

function protectedHeader(bytes: Uint8Array): Pick<CoseSign1, 'algorithm' | 'certificate'> {
  const header = decodeCbor(bytes, "the CoRIM signature's protected header");
  if (!(header instanceof Map)) throw invalid('the protected header is not a map');
  const algorithm = header.get(LABEL.algorithm);
  if (typeof algorithm !== 'number') throw invalid('the protected header has no algorithm');
  const contentType = header.get(LABEL.contentType);
  if (contentType !== undefined && contentType !== CONTENT_TYPE) {
    throw invalid(`the content type of the CoRIM signature is not "${CONTENT_TYPE}"`);
  }
  for (const [label, name, isValid] of OPTIONAL_LABELS) {
    if (header.has(label) && !isValid(header.get(label))) {
      throw invalid(`the protected header has a malformed ${name} (label ${label})`);
    }
  }
  if (header.has(LABEL.critical)) {
    // RFC 9052, 3.1: a reader must refuse a message with critical parameters that it doesn't know, and we know none.
    throw invalid('the protected header lists critical parameters (label 2), of which none is known');
  }
  const envelope = HASH_ENVELOPE.find((label) => header.has(label));
  if (envelope !== undefined) {
    throw invalid(
      `the protected header has label ${envelope}: a signature over the hash of a document, not over the document`,
    );
  }
  checkSigner(header);
  const x5chain = certificateOf(header.get(LABEL.x5chain));
  const x5bag = certificateOf(header.get(LABEL.x5bag));
  return { algorithm, certificate: x5chain ?? x5bag };
}

/** Checks that the header names the signer, which it may do in one of two ways. */
function checkSigner(header: CborMap): void {
  const claims = header.get(LABEL.cwtClaims);
  if (claims !== undefined) {
    if (!(claims instanceof Map) || typeof claims.get(1) !== 'string') {
      throw invalid('the CWT claims of the protected header name no issuer');
    }
    return;
  }
  if (!isCorimMeta(header.get(LABEL.corimMeta))) {
    throw invalid(
      'the protected header names no signer: it has neither corim-meta (label 8) nor CWT claims (label 15)',
    );
  }
}

/** `{ 0: { 0: signer name } }`, in a byte string. */
function isCorimMeta(bytes: CborValue): boolean {
  if (!(bytes instanceof Uint8Array)) return false;
  let meta: CborValue;
  try {
    meta = decodeCbor(bytes, 'corim-meta');
  } catch {
    return false;
  }
  const signer = meta instanceof Map ? meta.get(0) : undefined;
  return signer instanceof Map && typeof signer.get(0) === 'string';
}

/** One certificate, or several with the signer's first (RFC 9360, COSE_X509). */
function certificateOf(value: CborValue): Uint8Array | undefined {
  if (value === undefined || value instanceof Uint8Array) return value;
  if (Array.isArray(value) && value.length > 0 && value.every((each) => each instanceof Uint8Array)) return value[0];
  throw invalid('x5chain or x5bag is neither a certificate nor an array of certificates');
}

const invalid = (message: string): IgvmError => new IgvmError('CORIM_SIGNATURE_INVALID', message);
