import { constants, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { type CborValue, cborMap, cborTag, encodeCbor } from './cbor';

/** A DER value: tag, length, contents. */
function der(tag: number, ...contents: Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  const length =
    body.length < 0x80
      ? [body.length]
      : body.length < 0x100
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

const ALGORITHM = {
  rsa: Buffer.from('300d06092a864886f70d01010b0500', 'hex'), // sha256WithRSAEncryption
  ec: Buffer.from('300a06082a8648ce3d040303', 'hex'), // ecdsa-with-SHA384
};

/** A self-signed X.509 certificate (DER) for a key. */
export function certificateOf(privateKey: KeyObject): Buffer {
  const isRsa = privateKey.asymmetricKeyType === 'rsa';
  const algorithm = isRsa ? ALGORITHM.rsa : ALGORITHM.ec;
  const name = der(0x30, der(0x31, der(0x30, Buffer.from('0603550403', 'hex'), der(0x0c, Buffer.from('test')))));
  const tbs = der(
    0x30,
    der(0xa0, Buffer.from('020102', 'hex')),
    Buffer.from('020101', 'hex'),
    algorithm,
    name,
    der(0x30, der(0x17, Buffer.from('240101000000Z')), der(0x17, Buffer.from('440101000000Z'))),
    name,
    createPublicKey(privateKey).export({ format: 'der', type: 'spki' }),
  );
  const signature = sign(isRsa ? 'sha256' : 'sha384', tbs, privateKey);
  return der(0x30, tbs, algorithm, der(0x03, Buffer.from([0]), signature));
}

export const RSA_KEY = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
export const EC_KEY = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;

export interface SignedCorimOptions {
  key?: KeyObject;
  /** Entries of the protected header that differ from the usual ones. Undefined removes an entry. */
  header?: Record<number, CborValue>;
  unprotected?: CborValue;
  /** Whether the signature contains the document. */
  attached?: boolean;
  saltLength?: number;
  tag?: number;
}

/** A signed CoRIM over `document`, PS384. */
export function signedCorim(document: Uint8Array, options: SignedCorimOptions = {}): Uint8Array {
  const { key = RSA_KEY, header = {}, unprotected = cborMap(), attached = false, saltLength = 48, tag = 18 } = options;
  const usual: Record<number, CborValue> = {
    1: -38,
    3: 'application/rim+cbor',
    15: cborMap([1, 'issuer']),
    33: Uint8Array.from(certificateOf(key)),
  };
  const entries = Object.entries({ ...usual, ...header }).filter(([, value]) => value !== undefined);
  const protectedBytes = encodeCbor(
    cborMap(...entries.map(([label, value]): [number, CborValue] => [Number(label), value])),
  );
  const toSign = encodeCbor(['Signature1', protectedBytes, new Uint8Array(0), Uint8Array.from(document)]);
  const padding = key.asymmetricKeyType === 'rsa' ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength } : {};
  const signature = Uint8Array.from(sign('sha384', toSign, { key, ...padding }));
  const payload = attached ? Uint8Array.from(document) : null;
  return encodeCbor(cborTag(tag, [protectedBytes, unprotected, payload, signature]));
}
