import { execFileSync } from 'node:child_process';
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IgvmError } from '../errors/igvm-error';
import { unreadable } from '../files/file-failure';
import { findProgram, isProgramName } from '../files/find-program';
import { readRegularFile } from '../files/regular-file';

/** The signer of a statement. */
export type StatementSigner =
  /** Path of a private key: PEM (PKCS #8 or SEC 1) of P-256, P-384 or Ed25519. */
  | { kind: 'key'; path: string }
  /**
   * A program that signs, such as the client of a key management service, and the path of its public key or certificate. In its
   * arguments, `{message}` and `{digest}` become paths of files with the message and its digest. The message is also its input.
   */
  | { kind: 'command'; words: readonly string[]; publicKey: string };

/** DSSE, version 1 (secure-systems-lab/dsse, envelope.md). */
export interface DsseEnvelope {
  /** Base64. */
  payload: string;
  payloadType: string;
  signatures: { keyid: string; sig: string }[];
}

/** A key that signs. */
interface SigningKey {
  publicKey: KeyObject;
  /** The hash for ECDSA. Ed25519 has its own. */
  hash: 'sha256' | 'sha384' | null;
  /** The certificate in DER, if one was given. */
  certificate: Buffer | undefined;
}

/** The most bytes: keys and certificates are small. */
const KEY_LIMIT = 2 ** 16;
const SIGNATURE_LIMIT = 2 ** 16;
const COMMAND_MILLISECONDS = 120_000;

const failed = (message: string, file?: string, cause?: unknown): IgvmError =>
  new IgvmError('STATEMENT_SIGNING', message, file === undefined ? {} : { file }, { cause });

/** The signed message: type and payload, each after its length (DSSE, PAE). */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Buffer {
  const type = Buffer.from(payloadType);
  return Buffer.concat([Buffer.from(`DSSEv1 ${type.length} `), type, Buffer.from(` ${payload.length} `), payload]);
}

/** SHA-256 of a public key (DER, SPKI), hexadecimal, as a hint for verifiers. */
export const keyId = (key: KeyObject): string =>
  createHash('sha256')
    .update(key.export({ format: 'der', type: 'spki' }))
    .digest('hex');

/**
 * Signs a payload. The signature is always verified before it is returned.
 * @throws IgvmError STATEMENT_SIGNING, FILE_UNREADABLE
 */
export function signedEnvelope(
  payloadType: string,
  payload: Uint8Array,
  signer: StatementSigner,
): { envelope: DsseEnvelope; key: SigningKey } {
  const message = preAuthEncoding(payloadType, payload);
  const { key, signature } =
    signer.kind === 'key' ? signWithKey(signer.path, message) : signWithCommand(signer, message);
  const envelope = {
    payload: Buffer.from(payload).toString('base64'),
    payloadType,
    // An optional hint, which each kind of verifier defines in its own way.
    signatures: [{ keyid: '', sig: signature.toString('base64') }],
  };
  return { envelope, key };
}

/**
 * An envelope for sigstore's clients (sigstore/protobuf-specs: bundle, version 0.3), for the user's own key. Without an entry in a
 * transparency log and without a timestamp, which would need the network.
 */
export function sigstoreBundle(envelope: DsseEnvelope, { publicKey, certificate }: SigningKey): object {
  const material =
    certificate === undefined
      ? { publicKey: { hint: keyId(publicKey) } }
      : { certificate: { rawBytes: certificate.toString('base64') } };
  return {
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: { ...material, tlogEntries: [] },
    dsseEnvelope: envelope,
  };
}

function read(path: string): Buffer {
  try {
    return readRegularFile(path, { limit: KEY_LIMIT });
  } catch (error) {
    throw unreadable(path, error);
  }
}

const CURVES: Readonly<Record<string, SigningKey['hash']>> = { prime256v1: 'sha256', secp384r1: 'sha384' };

function signingKey(publicKey: KeyObject, path: string, certificate?: Buffer): SigningKey {
  if (publicKey.asymmetricKeyType === 'ed25519') return { publicKey, hash: null, certificate };
  const hash = CURVES[publicKey.asymmetricKeyDetails?.namedCurve ?? ''];
  if (hash === undefined) throw failed('is not a key of P-256, P-384 or Ed25519', path);
  return { publicKey, hash, certificate };
}

function signWithKey(path: string, message: Buffer): { key: SigningKey; signature: Buffer } {
  const bytes = read(path);
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(bytes);
  } catch (error) {
    throw failed('is not a private key in PEM, without a passphrase', path, error);
  }
  const key = signingKey(createPublicKey(privateKey), path);
  return { key, signature: sign(key.hash, message, privateKey) };
}

function publicKeyIn(path: string): SigningKey {
  const bytes = read(path);
  try {
    const certificate = new X509Certificate(bytes);
    return signingKey(certificate.publicKey, path, certificate.raw);
  } catch (error) {
    if (error instanceof IgvmError) throw error;
  }
  try {
    return signingKey(createPublicKey(bytes), path);
  } catch (error) {
    if (error instanceof IgvmError) throw error;
    throw failed('is neither a public key nor a certificate', path, error);
  }
}

function signWithCommand(
  { words, publicKey: path }: Extract<StatementSigner, { kind: 'command' }>,
  message: Buffer,
): { key: SigningKey; signature: Buffer } {
  const key = publicKeyIn(path);
  const [name = '', ...args] = words;
  const program = isProgramName(name) ? findProgram(name) : name;
  if (program === undefined || program === '') throw failed(`the signing program "${name}" was not found`);
  const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-sign-'));
  let printed: Buffer;
  try {
    const files = { '{message}': join(folder, 'message'), '{digest}': join(folder, 'digest') };
    writeFileSync(files['{message}'], message);
    writeFileSync(
      files['{digest}'],
      createHash(key.hash ?? 'sha512')
        .update(message)
        .digest(),
    );
    const filled = args.map((arg) =>
      arg.replaceAll(/\{message\}|\{digest\}/g, (each) => files[each as keyof typeof files]),
    );
    // The input is the file, not a pipe, because a program that doesn't read it would break the pipe.
    const input = openSync(files['{message}'], 'r');
    try {
      const limits = { maxBuffer: SIGNATURE_LIMIT, timeout: COMMAND_MILLISECONDS };
      printed = execFileSync(program, filled, { ...limits, stdio: [input, 'pipe', 'inherit'] });
    } finally {
      closeSync(input);
    }
  } catch (error) {
    throw failed(`the program "${name}" did not sign: ${(error as Error).message.split('\n')[0]}`, undefined, error);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const signature = signaturesIn(printed, key).find((each) => isSignature(key, message, each));
  if (signature === undefined)
    throw failed(`the output of the program "${name}" is not a signature by the public key`, path);
  return { key, signature };
}

/** The possible signatures in the output of a program: as bytes or in base64. For ECDSA, in DER or as two plain numbers. */
function signaturesIn(printed: Buffer, { hash }: SigningKey): Buffer[] {
  const text = printed.toString('latin1').trim();
  const decoded = /^[A-Za-z0-9+/_=\s-]+$/.test(text) ? [Buffer.from(text, 'base64')] : [];
  return [printed, ...decoded].flatMap((each) => {
    const size = hash === 'sha256' ? 32 : 48;
    return hash !== null && each.length === 2 * size ? [each, derOf(each, size)] : [each];
  });
}

function derOf(numbers: Buffer, size: number): Buffer {
  const integer = (bytes: Buffer): Buffer => {
    const start = bytes.findIndex((byte) => byte !== 0);
    const shortest = bytes.subarray(start < 0 ? size - 1 : start);
    const content = shortest[0]! >= 0x80 ? Buffer.concat([Buffer.of(0), shortest]) : shortest;
    return Buffer.concat([Buffer.of(0x02, content.length), content]);
  };
  const body = Buffer.concat([integer(numbers.subarray(0, size)), integer(numbers.subarray(size))]);
  return Buffer.concat([Buffer.of(0x30, body.length), body]);
}

function isSignature({ publicKey, hash }: SigningKey, message: Buffer, signature: Buffer): boolean {
  try {
    return verify(hash, message, publicKey, signature);
  } catch {
    return false;
  }
}
