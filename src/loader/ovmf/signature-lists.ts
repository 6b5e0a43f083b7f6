/** What Secure Boot's variables hold: signature lists, and the form in which an update of a variable comes (UEFI specification, 8.2.2 and 32.4.1). */
import { IgvmError } from '../../errors/igvm-error';
import { StructWriter } from '../../memory/struct-writer';
import { guidBytes, hexOfGuid } from '../formats/ovmf-table';

/** EFI_CERT_X509_GUID and EFI_CERT_SHA256_GUID. */
const KINDS = { x509: 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072', sha256: 'c1c41626-504c-4092-aca9-41f936934328' } as const;
const KIND_BY_HEX = new Map(Object.entries(KINDS).map(([kind, guid]) => [hexOfGuid(guid), kind as keyof typeof KINDS]));
/** EFI_CERT_TYPE_PKCS7_GUID. */
const PKCS7 = '4aafd29d-68df-49ee-8aa9-347d375665a7';

/** One entry of a list. */
export interface Signature {
  /** GUID of who vouches for it, 16 bytes. */
  owner: Uint8Array;
  /** A certificate (DER), or a digest of 32 bytes. */
  data: Uint8Array;
}

/** EFI_SIGNATURE_LIST: entries of one kind and size. */
export interface SignatureList {
  kind: keyof typeof KINDS;
  entries: Signature[];
}

const OWNER_SIZE = 16;
const LIST_HEADER_SIZE = 28;
/** EFI_TIME, and WIN_CERTIFICATE behind it, whose length counts itself. */
const TIME_SIZE = 16;
const CERTIFICATE_HEADER = { size: 24, revision: 0x0200, type: 0x0ef1 };

/** The lists as they are stored, one behind the other. */
export function encodeSignatureLists(lists: readonly SignatureList[]): Uint8Array {
  const out = new StructWriter();
  for (const { kind, entries } of lists) {
    const size = OWNER_SIZE + (entries[0]?.data.length ?? 0);
    out.raw(guidBytes(KINDS[kind])).u32(LIST_HEADER_SIZE + entries.length * size, 0, size);
    for (const { owner, data } of entries) out.raw(owner).raw(data);
  }
  return out.finish();
}

/**
 * Reads the lists of a variable; kinds other than certificates and SHA-256 digests are left out.
 * @throws IgvmError EFI_DATA_INVALID
 */
export function decodeSignatureLists(bytes: Uint8Array): SignatureList[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const lists: SignatureList[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < LIST_HEADER_SIZE) throw invalid('a signature list ends within its header', at);
    const [listSize, headerSize, size] = [16, 20, 24].map((field) => view.getUint32(at + field, true)) as [
      number,
      number,
      number,
    ];
    const room = listSize - LIST_HEADER_SIZE - headerSize;
    if (listSize > bytes.length - at || room < 0 || size <= OWNER_SIZE || room % size !== 0) {
      throw invalid('a signature list has a size that is impossible', at);
    }
    const kind = KIND_BY_HEX.get(Buffer.from(bytes.subarray(at, at + 16)).toString('hex'));
    if (kind !== undefined) {
      const entries: Signature[] = [];
      for (let entry = at + LIST_HEADER_SIZE + headerSize; entry < at + listSize; entry += size) {
        const [owner, data] = [
          bytes.subarray(entry, entry + OWNER_SIZE),
          bytes.subarray(entry + OWNER_SIZE, entry + size),
        ];
        entries.push({ owner, data });
      }
      lists.push({ kind, entries });
    }
    at += listSize;
  }
  return lists;
}

/**
 * The signature lists in an update of a variable (.auth), whose own signature is not looked at.
 * @throws IgvmError EFI_DATA_INVALID
 */
export function listsOfUpdate(update: Uint8Array): SignatureList[] {
  const view = new DataView(update.buffer, update.byteOffset, update.length);
  const length = update.length < TIME_SIZE + CERTIFICATE_HEADER.size ? 0 : view.getUint32(TIME_SIZE, true);
  if (length < CERTIFICATE_HEADER.size || length > update.length - TIME_SIZE) {
    throw invalid('it is no authenticated variable (.auth)', 0);
  }
  return decodeSignatureLists(update.subarray(TIME_SIZE + length));
}

/**
 * A variable's content as the firmware takes it at boot: an update without a signature, which nobody checks as the pages are measured.
 * @param time of the update; to the second, from year 0 to 9999
 */
export function unsignedUpdate(time: Date, lists: readonly SignatureList[]): Uint8Array {
  const out = new StructWriter()
    .u16(time.getUTCFullYear())
    .u8(time.getUTCMonth() + 1, time.getUTCDate(), time.getUTCHours(), time.getUTCMinutes(), time.getUTCSeconds())
    .zeros(9);
  out.u32(CERTIFICATE_HEADER.size).u16(CERTIFICATE_HEADER.revision, CERTIFICATE_HEADER.type).raw(guidBytes(PKCS7));
  return out.raw(encodeSignatureLists(lists)).finish();
}

/** All entries of several variables: digests that are new in one list, in their order, and a list for each new certificate. */
export function mergeSignatureLists(lists: readonly SignatureList[]): SignatureList[] {
  const merged: SignatureList[] = [];
  const seen = new Set<string>();
  for (const { kind, entries } of lists) {
    // Certificates are told apart without their owner.
    const fresh = entries.filter(({ owner, data }) => {
      const key = Buffer.concat(kind === 'sha256' ? [owner, data] : [data]).toString('hex');
      return !seen.has(key) && seen.add(key);
    });
    if (fresh.length === 0) continue;
    const digests = kind === 'sha256' ? merged.find((list) => list.kind === 'sha256') : undefined;
    if (digests === undefined) merged.push({ kind, entries: fresh });
    else digests.entries.push(...fresh);
  }
  return merged;
}

const invalid = (why: string, offset: number): IgvmError => new IgvmError('EFI_DATA_INVALID', why, { offset });
