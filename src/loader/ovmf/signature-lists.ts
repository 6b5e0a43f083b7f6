/**
 * The contents of Secure Boot's variables: signature lists, and the format of updates (UEFI specification, 8.2.2 and
 * 32.4.1).
 */
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
  /** GUID of its owner, 16 bytes. */
  owner: Uint8Array;
  /** A certificate (DER), or a digest of 32 bytes. */
  data: Uint8Array;
}

/** EFI_SIGNATURE_LIST: entries of one kind and size. */
export interface SignatureList {
  kind: keyof typeof KINDS;
  entries: Signature[];
}

/** Bytes of the GUID before an entry's data. */
export const OWNER_SIZE = 16;
const LIST_HEADER_SIZE = 28;
/** EFI_TIME, and the following WIN_CERTIFICATE, whose length includes itself. */
const TIME_SIZE = 16;
const CERTIFICATE_HEADER = { size: 24, revision: 0x0200, type: 0x0ef1 };

/** The lists as stored, one after the other. */
export function encodeSignatureLists(lists: readonly SignatureList[]): Uint8Array {
  const out = new StructWriter();
  for (const { kind, entries } of lists) {
    const size = OWNER_SIZE + (entries[0]?.data.length ?? 0);
    out.raw(guidBytes(KINDS[kind])).u32(LIST_HEADER_SIZE + entries.length * size, 0, size);
    for (const { owner, data } of entries) out.raw(owner).raw(data);
  }
  return out.finish();
}

/** A list as stored, of any kind. */
export interface StoredList {
  /** Its GUID as UEFI stores it, in hexadecimal. */
  kind: string;
  /** Byte offset of the list. */
  offset: number;
  /** Bytes of the list's own header. */
  headerSize: number;
  /** Bytes of an entry, with its owner. */
  entrySize: number;
  entries: Signature[];
}

/**
 * Reads the lists of a variable.
 * @throws IgvmError EFI_DATA_INVALID
 */
export function* readLists(bytes: Uint8Array): Generator<StoredList> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < LIST_HEADER_SIZE) throw invalid('a signature list ends within its header', at);
    const [listSize, headerSize, entrySize] = [16, 20, 24].map((field) => view.getUint32(at + field, true)) as [
      number,
      number,
      number,
    ];
    const room = listSize - LIST_HEADER_SIZE - headerSize;
    if (listSize > bytes.length - at || room < 0 || entrySize <= OWNER_SIZE || room % entrySize !== 0) {
      throw invalid('a signature list has a size that is impossible', at);
    }
    const entries: Signature[] = [];
    for (let entry = at + LIST_HEADER_SIZE + headerSize; entry < at + listSize; entry += entrySize) {
      const [owner, data] = [
        bytes.subarray(entry, entry + OWNER_SIZE),
        bytes.subarray(entry + OWNER_SIZE, entry + entrySize),
      ];
      entries.push({ owner, data });
    }
    const kind = Buffer.from(bytes.subarray(at, at + 16)).toString('hex');
    yield { kind, offset: at, headerSize, entrySize, entries };
    at += listSize;
  }
}

/** An update of a variable (.auth). Its signature is ignored. */
export interface VariableUpdate {
  /** To the second. */
  time: Date;
  /** Signature lists as they are stored. */
  lists: Uint8Array;
}

/** Whether a file is an update of a variable, judging by the header of its signature. */
export function isUpdate(bytes: Uint8Array): boolean {
  if (bytes.length < TIME_SIZE + CERTIFICATE_HEADER.size) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const isSigned = view.getUint16(TIME_SIZE + 4, true) === CERTIFICATE_HEADER.revision;
  return isSigned && view.getUint16(TIME_SIZE + 6, true) === CERTIFICATE_HEADER.type;
}

/** @throws IgvmError EFI_DATA_INVALID */
export function readUpdate(bytes: Uint8Array): VariableUpdate {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = isUpdate(bytes) ? view.getUint32(TIME_SIZE, true) : 0;
  if (length < CERTIFICATE_HEADER.size || length > bytes.length - TIME_SIZE) {
    throw invalid('it is not an authenticated variable (.auth)', 0);
  }
  const [month, day, hour, minute, second] = bytes.subarray(2, 7) as unknown as [
    number,
    number,
    number,
    number,
    number,
  ];
  const time = new Date(0);
  time.setUTCFullYear(view.getUint16(0, true), month - 1, day);
  time.setUTCHours(hour, minute, second);
  return { time, lists: bytes.subarray(TIME_SIZE + length) };
}

/**
 * The signature lists in an update of a variable (.auth); kinds other than certificates and SHA-256 digests are left out.
 * @throws IgvmError EFI_DATA_INVALID
 */
export const listsOfUpdate = (update: Uint8Array): SignatureList[] =>
  [...readLists(readUpdate(update).lists)].flatMap(({ kind: hex, entries }) => {
    const kind = KIND_BY_HEX.get(hex);
    return kind === undefined ? [] : [{ kind, entries }];
  });

/**
 * A variable's contents as the firmware reads them at boot: an update without a signature. The signature isn't checked,
 * as the pages are measured.
 * @param time of the update; to the second, from year 0 to 9999
 * @param lists signature lists as they are stored
 */
export function unsignedUpdate({ time, lists }: VariableUpdate): Uint8Array {
  const out = new StructWriter()
    .u16(time.getUTCFullYear())
    .u8(time.getUTCMonth() + 1, time.getUTCDate(), time.getUTCHours(), time.getUTCMinutes(), time.getUTCSeconds())
    .zeros(9);
  out.u32(CERTIFICATE_HEADER.size).u16(CERTIFICATE_HEADER.revision, CERTIFICATE_HEADER.type).raw(guidBytes(PKCS7));
  return out.raw(lists).finish();
}

/** All entries of several variables: digests that are new in one list, in their order, and a list for each new certificate. */
export function mergeSignatureLists(lists: readonly SignatureList[]): SignatureList[] {
  const merged: SignatureList[] = [];
  const seen = new Set<string>();
  for (const { kind, entries } of lists) {
    // Certificates are compared without their owner.
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
