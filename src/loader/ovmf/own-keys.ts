/**
 * Turns files with keys for Secure Boot, in all common formats, into the contents of a variable. Everything that OVMF
 * would not accept is refused: OVMF rejects a whole variable for one bad list (edk2
 * SecurityPkg/Library/AuthVariableLib/AuthService.c, CheckSignatureListFormat), and the guest then starts without
 * Secure Boot.
 */
import { X509Certificate } from 'node:crypto';
import { IgvmError } from '../../errors/igvm-error';
import type { ByteSource } from '../../memory/byte-source';
import { hexOfGuid } from '../formats/ovmf-table';
import {
  encodeSignatureLists,
  isUpdate,
  OWNER_SIZE,
  readLists,
  readUpdate,
  type SignatureList,
  type StoredList,
} from './signature-lists';

export const SECURE_BOOT_VARIABLES = ['pk', 'kek', 'db', 'dbx'] as const;
export type SecureBootVariable = (typeof SECURE_BOOT_VARIABLES)[number];

/** The part of a variable that comes from a file. */
export interface OwnKeys {
  /** Signature lists as they are stored. */
  lists: Uint8Array;
  /**
   * The time of the update that the lists come from, or from which all certificates are valid; undefined without
   * either.
   */
  time?: Date;
}

/** Far more than a variable of OVMF can hold. */
const SIZE_LIMIT = 2 ** 20;

/** Bytes of an entry's data by the kind of its list; certificates have any size (AuthService.c, mSupportSigItem). */
const SUPPORTED = new Map<string, { name: string; size?: number }>(
  [
    ['a5c059a1-94e4-4aa7-87b5-ab155c2bf072', 'X.509'],
    ['c1c41626-504c-4092-aca9-41f936934328', 'SHA-256', 32],
    ['ff3e5307-9fd0-48c9-85f1-8ad56c701e01', 'SHA-384', 48],
    ['093e0fae-a6c4-4f50-9f1b-d41e2b89c19a', 'SHA-512', 64],
    ['826ca512-cf10-4ac9-b187-be01496631bd', 'SHA-1', 20],
    ['0b6e5233-a65c-44c9-9407-d9ab83bfc8bd', 'SHA-224', 28],
    ['3c5766e8-269c-4e34-aa14-ed776e85b3b6', 'RSA-2048', 256],
    ['e2b36190-879b-4a3d-ad8d-f2e7bba32784', 'RSA-2048 of SHA-256', 256],
    ['67f8444f-8743-48f1-a328-1eaab8736080', 'RSA-2048 of SHA-1', 256],
    ['3bd2a492-96c0-4079-b420-fcf98ef103ed', 'SHA-256 of an X.509', 48],
    ['7076876e-80c2-4ee6-aad2-28b349a6865b', 'SHA-384 of an X.509', 64],
    ['446dbf63-2502-4cda-bcfa-2465d2b0fe9d', 'SHA-512 of an X.509', 80],
  ].map(([guid, name, size]) => [
    hexOfGuid(guid as string),
    { name: name as string, size: size as number | undefined },
  ]),
);

/**
 * Reads certificates (PEM or DER, one or several in a row), signature lists (.esl) or an update of a variable (.auth).
 * The format is recognised by the contents. The time of an update is kept, but not its signature: measured pages need
 * none.
 * @param file at most 1 MiB
 * @param variable the variable for these keys; the platform key has to be exactly one certificate
 * @param owner GUID of the owner of certificates, 16 bytes; signature lists have their own
 * @throws IgvmError EFI_DATA_INVALID, and what the source throws
 */
export function readOwnKeys(file: ByteSource, variable: SecureBootVariable, owner: Uint8Array): OwnKeys {
  if (file.size > SIZE_LIMIT) throw invalid(variable, `it has ${file.size} bytes, and keys have at most ${SIZE_LIMIT}`);
  const bytes = new Uint8Array(file.size);
  file.read(0, bytes);
  const certificates = certificatesIn(bytes, variable);
  const keys = certificates === undefined ? listsIn(bytes, variable) : listsOf(certificates, owner);
  checkLists(keys, variable);
  const begins = keys.certificates.map(({ validFrom }) => Date.parse(validFrom));
  const time = keys.time ?? (begins.length === 0 ? undefined : new Date(Math.max(...begins)));
  if (time === undefined) return { lists: keys.lists };
  if (!isEfiTime(time))
    throw invalid(variable, 'the time of its update or certificate is not a date in the years 0 to 9999');
  return { lists: keys.lists, time };
}

/** Whether a variable can have this time (EFI_TIME; UEFI specification, 8.3). */
const isEfiTime = (time: Date): boolean => time.getUTCFullYear() >= 0 && time.getUTCFullYear() <= 9999;

/** Checks lists one by one. */
interface CheckedKeys {
  lists: Uint8Array;
  entryCount: number;
  certificates: X509Certificate[];
  time?: Date;
}

function listsOf(certificates: readonly X509Certificate[], owner: Uint8Array): CheckedKeys {
  const lists = certificates.map(({ raw }): SignatureList => ({ kind: 'x509', entries: [{ owner, data: raw }] }));
  return { lists: encodeSignatureLists(lists), entryCount: certificates.length, certificates: [...certificates] };
}

function listsIn(bytes: Uint8Array, variable: SecureBootVariable): CheckedKeys {
  const update = isUpdate(bytes) ? readUpdate(bytes) : undefined;
  const lists = update?.lists ?? bytes;
  const keys: CheckedKeys = { lists, entryCount: 0, certificates: [], ...(update && { time: update.time }) };
  for (const { kind, headerSize, entrySize, entries, offset } of listsOrNone(lists, variable)) {
    const supported = SUPPORTED.get(kind);
    if (supported === undefined)
      throw invalid(variable, "it has a signature list of a kind that OVMF doesn't accept", offset);
    const { name, size } = supported;
    const dataSize = entrySize - OWNER_SIZE;
    if (headerSize !== 0 || dataSize !== (size ?? dataSize)) {
      throw invalid(variable, `its list of ${name} entries has entries of ${dataSize} bytes`, offset);
    }
    keys.entryCount += entries.length;
    if (size !== undefined) continue;
    for (const { data } of entries) keys.certificates.push(certificate(data, variable));
  }
  return keys;
}

/** A file that doesn't begin with the GUID of a known kind is not a signature list. */
function listsOrNone(bytes: Uint8Array, variable: SecureBootVariable): Iterable<StoredList> {
  if (SUPPORTED.has(Buffer.from(bytes.subarray(0, 16)).toString('hex'))) return readLists(bytes);
  throw invalid(variable, 'it has neither certificates (PEM, DER) nor signature lists (.esl, .auth)');
}

function checkLists({ entryCount, certificates }: CheckedKeys, variable: SecureBootVariable): void {
  if (entryCount === 0) throw invalid(variable, 'it contains no keys');
  if (variable === 'pk' && (entryCount !== 1 || certificates.length !== 1)) {
    throw invalid(variable, `a platform key is one certificate, and it has ${entryCount} keys`);
  }
  const other = certificates.map(keyType).find((type) => type !== 'rsa');
  if (other !== undefined) {
    throw invalid(variable, `its certificate has a key of the type ${other}, and OVMF accepts only RSA`);
  }
}

/** The type of a certificate's key. Node throws on a key of a type that its OpenSSL doesn't know. */
function keyType(certificate: X509Certificate): string {
  try {
    return certificate.publicKey.asymmetricKeyType ?? 'unknown';
  } catch {
    return 'unknown';
  }
}

const PEM = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g;
/** The tag of a certificate in DER: a sequence. */
const SEQUENCE = 0x30;

/** The certificates of a file in PEM or DER; undefined for other files. */
function certificatesIn(bytes: Uint8Array, variable: SecureBootVariable): X509Certificate[] | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  if (text.includes('-----BEGIN ')) {
    return [...text.matchAll(PEM)].map(([block, label = '']) => {
      if (label.endsWith('PRIVATE KEY')) {
        throw invalid(variable, 'it contains a private key, which must not be in an image');
      }
      if (label !== 'CERTIFICATE' && label !== 'X509 CERTIFICATE') {
        throw invalid(variable, `it contains a ${label}, but only certificates are allowed`);
      }
      return certificate(block, variable);
    });
  }
  if (bytes[0] !== SEQUENCE) return undefined;
  const found: X509Certificate[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + derSize(bytes, at);
    if (bytes[at] !== SEQUENCE || !(end <= bytes.length)) {
      throw invalid(variable, 'it has bytes that are not a certificate', at);
    }
    found.push(certificate(bytes.subarray(at, end), variable));
    at = end;
  }
  return found;
}

/** Bytes of a value in DER with its tag and length; NaN if there is none (X.690, 8.1.3). */
function derSize(bytes: Uint8Array, at: number): number {
  const first = bytes[at + 1] ?? Number.NaN;
  if (first < 0x80) return 2 + first;
  const count = first & 0x7f;
  if (count === 0 || count > 3) return Number.NaN;
  let size = 0;
  for (let index = 0; index < count; index++) size = size * 256 + (bytes[at + 2 + index] ?? Number.NaN);
  return 2 + count + size;
}

function certificate(bytes: Uint8Array | string, variable: SecureBootVariable): X509Certificate {
  try {
    return new X509Certificate(bytes);
  } catch {
    throw invalid(variable, 'it contains a certificate that cannot be read');
  }
}

const invalid = (variable: SecureBootVariable, why: string, offset?: number): IgvmError =>
  new IgvmError(
    'EFI_DATA_INVALID',
    `the file with keys for ${NAMES[variable]} can't be used: ${why}`,
    offset === undefined ? {} : { offset },
  );

/** The variables' names in UEFI. */
const NAMES: Record<SecureBootVariable, string> = { pk: 'PK', kek: 'KEK', db: 'db', dbx: 'dbx' };
