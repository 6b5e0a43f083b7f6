import { createHash, type Hash } from 'node:crypto';
import { IgvmError } from '../errors/igvm-error';
import type { ByteSource } from '../memory/byte-source';

/**
 * The headers of 64-bit PE programs, the format of EFI programs (Microsoft: PE format). Every offset and size is
 * checked before it is used.
 */

/** Offsets in bytes from the start of each structure. */
const DOS_HEADER = { size: 64, newHeader: 0x3c, magic: 0x5a4d };
const NT_HEADERS = { size: 136, magic: 0x4550, machine: 4, sectionCount: 6, optionalSize: 20, optional: 24 };
/** The optional header of 64-bit programs, up to its directories. */
const OPTIONAL_HEADER = { size: 112, magic: 0x20b, sizeOfHeaders: 60, checksum: 64, directoryCount: 108 };
const DIRECTORY_SIZE = 8;
/** The directory of certificates. */
const SECURITY = 4;
const SECTION_HEADER = { size: 40, virtualSize: 8, virtualAddress: 12, rawSize: 16, rawStart: 20 };
const SECTION_NAME_SIZE = 8;

/** A section as its header describes it. Nothing is checked against the file. */
export interface PeSection {
  /** Up to 8 characters, unchecked. */
  name: string;
  /** Bytes in memory. */
  virtualSize: number;
  /** From the program's start in memory. */
  virtualAddress: number;
  /** Bytes in the file. */
  rawSize: number;
  /** Offset in the file. */
  rawStart: number;
}

/** The fields of a program's headers. Offsets and sizes in bytes. */
interface PeHeaders {
  /** Places of the two fields that a signature can't cover. */
  checksum: { start: number; end: number };
  securityDirectory: { start: number; end: number };
  /** IMAGE_FILE_MACHINE. */
  machine: number;
  sizeOfHeaders: number;
  /** 0 without certificates. */
  certificateSize: number;
  sections: PeSection[];
}

/**
 * Reads the headers of a PE32+ program.
 * @throws IgvmError EFI_DATA_INVALID for a file that isn't one, or whose headers lie outside the file; and what the
 *   source throws
 */
export function readPeHeaders(program: ByteSource): PeHeaders {
  const view = (offset: number, size: number, complaint: string): DataView => {
    if (offset + size > program.size) throw invalid(complaint);
    const bytes = new Uint8Array(size);
    program.read(offset, bytes);
    return new DataView(bytes.buffer);
  };
  const dos = view(0, DOS_HEADER.size, 'it is shorter than a DOS header');
  if (dos.getUint16(0, true) !== DOS_HEADER.magic) throw invalid('it does not begin with "MZ"');
  const start = dos.getUint32(DOS_HEADER.newHeader, true);
  const headers = view(start, NT_HEADERS.size, 'its PE headers lie outside the file');
  if (headers.getUint32(0, true) !== NT_HEADERS.magic) throw invalid('it has no PE headers');
  const { optional: fixed } = NT_HEADERS;
  if (headers.getUint16(fixed, true) !== OPTIONAL_HEADER.magic) throw invalid('it is not a 64-bit program (PE32+)');
  const optional = start + fixed;
  const optionalSize = headers.getUint16(NT_HEADERS.optionalSize, true);
  const directoryBytes = optionalSize - OPTIONAL_HEADER.size;
  if (directoryBytes < 0) throw invalid('its optional header is too small');
  const directoryStart = optional + OPTIONAL_HEADER.size;
  const directories = view(directoryStart, directoryBytes, 'its optional header lies outside the file');
  const directoryCount = headers.getUint32(fixed + OPTIONAL_HEADER.directoryCount, true);
  if (directoryCount * DIRECTORY_SIZE > directoryBytes)
    throw invalid('its optional header is too small for its directories');
  const count = headers.getUint16(NT_HEADERS.sectionCount, true);
  const table = view(optional + optionalSize, count * SECTION_HEADER.size, 'its section headers lie outside the file');
  const at = SECURITY * DIRECTORY_SIZE;
  const isSigned = directoryCount > SECURITY && directories.getUint32(at, true) !== 0;
  const checksum = optional + OPTIONAL_HEADER.checksum;
  return {
    checksum: { start: checksum, end: checksum + 4 },
    securityDirectory: { start: directoryStart + at, end: directoryStart + at + DIRECTORY_SIZE },
    machine: headers.getUint16(NT_HEADERS.machine, true),
    sizeOfHeaders: headers.getUint32(fixed + OPTIONAL_HEADER.sizeOfHeaders, true),
    certificateSize: isSigned ? directories.getUint32(at + 4, true) : 0,
    sections: Array.from({ length: count }, (_, index) => sectionAt(table, index * SECTION_HEADER.size)),
  };
}

function sectionAt(table: DataView, at: number): PeSection {
  const name = new Uint8Array(table.buffer, table.byteOffset + at, SECTION_NAME_SIZE);
  return {
    name: String.fromCharCode(...name).replace(/\0.*$/s, ''),
    virtualSize: table.getUint32(at + SECTION_HEADER.virtualSize, true),
    virtualAddress: table.getUint32(at + SECTION_HEADER.virtualAddress, true),
    rawSize: table.getUint32(at + SECTION_HEADER.rawSize, true),
    rawStart: table.getUint32(at + SECTION_HEADER.rawStart, true),
  };
}

/**
 * The names of the sections that a file lists, up to its end; none if it isn't a PE file. Meant for files of unknown
 * type: no file is an error.
 */
export function peSectionNames(file: ByteSource): string[] {
  const read = (offset: number, size: number): DataView | undefined => {
    if (offset + size > file.size) return undefined;
    const bytes = new Uint8Array(size);
    file.read(offset, bytes);
    return new DataView(bytes.buffer);
  };
  const dos = read(0, DOS_HEADER.size);
  if (dos?.getUint16(0, true) !== DOS_HEADER.magic) return [];
  const start = dos.getUint32(DOS_HEADER.newHeader, true);
  const headers = read(start, NT_HEADERS.optional);
  if (headers?.getUint32(0, true) !== NT_HEADERS.magic) return [];
  const first = start + NT_HEADERS.optional + headers.getUint16(NT_HEADERS.optionalSize, true);
  const room = Math.max(0, Math.floor((file.size - first) / SECTION_HEADER.size));
  const count = Math.min(headers.getUint16(NT_HEADERS.sectionCount, true), room);
  const table = read(first, count * SECTION_HEADER.size);
  return Array.from({ length: count }, (_, index) => sectionAt(table!, index * SECTION_HEADER.size).name);
}

const invalid = (why: string): IgvmError => new IgvmError('EFI_DATA_INVALID', `the EFI program cannot be read: ${why}`);

const CHUNK = 1024 * 1024;

/**
 * The Authenticode digest (SHA-256) of an EFI program, by which Secure Boot's db may allow it. It covers everything
 * except the checksum and the certificates. Sections are assumed to have no gaps, and certificates to be last, as in
 * the crate authenticode 0.6.0 (src/authenticode_digest.rs), which igvm-update uses. The program is read in pieces.
 * @param program a PE32+ file, signed or not
 * @throws IgvmError EFI_DATA_INVALID for a file that isn't one, or has parts outside the file; and what the source
 *   throws
 */
export function authenticodeSha256(program: ByteSource): Uint8Array {
  const { checksum, securityDirectory, sizeOfHeaders, certificateSize, sections } = readPeHeaders(program);
  const hash = createHash('sha256');
  const add = (start: number, end: number): void => {
    if (start > end || end > program.size) throw noDigest('its headers name parts that are not in the file');
    addRange(hash, program, start, end);
  };
  add(0, checksum.start);
  add(checksum.end, securityDirectory.start);
  // Even if there are fewer directories, and this place holds other bytes.
  add(securityDirectory.end, sizeOfHeaders);
  let hashed = sizeOfHeaders;
  for (const { rawStart, rawSize } of sections.toSorted((a, b) => a.rawStart - b.rawStart)) {
    add(rawStart, rawStart + rawSize);
    hashed += rawSize;
  }
  add(hashed, program.size - certificateSize);
  return hash.digest();
}

function addRange(hash: Hash, source: ByteSource, start: number, end: number): void {
  const chunk = new Uint8Array(Math.min(CHUNK, end - start));
  for (let at = start; at < end; at += chunk.length) {
    const bytes = chunk.subarray(0, Math.min(chunk.length, end - at));
    source.read(at, bytes);
    hash.update(bytes);
  }
}

const noDigest = (why: string): IgvmError =>
  new IgvmError('EFI_DATA_INVALID', `the EFI program has no Authenticode digest: ${why}`);
