import { createHash, type Hash } from 'node:crypto';
import { IgvmError } from '../errors/igvm-error';
import type { ByteSource } from '../memory/byte-source';

/** Of the PE format (Microsoft's specification); offsets in bytes from the start of each structure. */
const DOS_HEADER = { size: 64, newHeader: 0x3c, magic: 0x5a4d };
const NT_HEADERS = { size: 136, magic: 0x4550, sectionCount: 6, optionalSize: 20, optional: 24 };
/** The optional header of 64-bit programs, up to its directories. */
const OPTIONAL_HEADER = { size: 112, magic: 0x20b, sizeOfHeaders: 60, checksum: 64, directoryCount: 108 };
const DIRECTORY_SIZE = 8;
/** The directory of certificates. */
const SECURITY = 4;
const SECTION_HEADER = { size: 40, rawSize: 16, rawStart: 20 };

const CHUNK = 1024 * 1024;

/**
 * The Authenticode digest (SHA-256) of an EFI program, by which Secure Boot's db may allow it: everything but the checksum and the
 * certificates. What is behind the sections counts as if they had no gaps, and certificates as if they were last, as in the crate
 * authenticode 0.6.0 (src/authenticode_digest.rs), which igvm-update uses. The program is read in pieces.
 * @param program a PE32+ file, signed or not
 * @throws IgvmError EFI_DATA_INVALID for what is none, or has parts outside the file; and what the source throws
 */
export function authenticodeSha256(program: ByteSource): Uint8Array {
  const { optional, sizeOfHeaders, certificateSize, sections } = readHeaders(program);
  const hash = createHash('sha256');
  const add = (start: number, end: number): void => {
    if (start > end || end > program.size) throw invalid('its headers name parts that are not in the file');
    addRange(hash, program, start, end);
  };
  const checksum = optional + OPTIONAL_HEADER.checksum;
  const security = optional + OPTIONAL_HEADER.size + SECURITY * DIRECTORY_SIZE;
  add(0, checksum);
  add(checksum + 4, security);
  // Also where there are fewer directories, and other bytes in this place.
  add(security + DIRECTORY_SIZE, sizeOfHeaders);
  let hashed = sizeOfHeaders;
  for (const { start, size } of sections.toSorted((a, b) => a.start - b.start)) {
    add(start, start + size);
    hashed += size;
  }
  add(hashed, program.size - certificateSize);
  return hash.digest();
}

interface Headers {
  /** Offset of the optional header. */
  optional: number;
  sizeOfHeaders: number;
  /** 0 without certificates. */
  certificateSize: number;
  sections: { start: number; size: number }[];
}

function readHeaders(program: ByteSource): Headers {
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
  if (headers.getUint16(fixed, true) !== OPTIONAL_HEADER.magic) throw invalid('it is no 64-bit program (PE32+)');
  const optional = start + fixed;
  const optionalSize = headers.getUint16(NT_HEADERS.optionalSize, true);
  const directoryBytes = optionalSize - OPTIONAL_HEADER.size;
  if (directoryBytes < 0) throw invalid('its optional header is too small');
  const directories = view(
    optional + OPTIONAL_HEADER.size,
    directoryBytes,
    'its optional header lies outside the file',
  );
  const directoryCount = headers.getUint32(fixed + OPTIONAL_HEADER.directoryCount, true);
  if (directoryCount * DIRECTORY_SIZE > directoryBytes) throw invalid('it has more directories than room for them');
  const count = headers.getUint16(NT_HEADERS.sectionCount, true);
  const table = view(optional + optionalSize, count * SECTION_HEADER.size, 'its section headers lie outside the file');
  const at = SECURITY * DIRECTORY_SIZE;
  const isSigned = directoryCount > SECURITY && directories.getUint32(at, true) !== 0;
  return {
    optional,
    sizeOfHeaders: headers.getUint32(fixed + OPTIONAL_HEADER.sizeOfHeaders, true),
    certificateSize: isSigned ? directories.getUint32(at + 4, true) : 0,
    sections: Array.from({ length: count }, (_, index) => ({
      start: table.getUint32(index * SECTION_HEADER.size + SECTION_HEADER.rawStart, true),
      size: table.getUint32(index * SECTION_HEADER.size + SECTION_HEADER.rawSize, true),
    })),
  };
}

function addRange(hash: Hash, source: ByteSource, start: number, end: number): void {
  const chunk = new Uint8Array(Math.min(CHUNK, end - start));
  for (let at = start; at < end; at += chunk.length) {
    const bytes = chunk.subarray(0, Math.min(chunk.length, end - at));
    source.read(at, bytes);
    hash.update(bytes);
  }
}

const invalid = (why: string): IgvmError =>
  new IgvmError('EFI_DATA_INVALID', `the EFI program has no Authenticode digest: ${why}`);
