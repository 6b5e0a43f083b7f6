import { IgvmError } from '../../errors/igvm-error';
import type { GuestArch } from '../../igvm/model';
import type { ByteSource } from '../../memory/byte-source';
import { isBzImage } from './bzimage';
import { fileKind } from './file-kind';

/** Elf64_Ehdr, Elf64_Phdr and Elf64_Shdr sizes in bytes (ELF-64 Object File Format, version 1.5). */
const EHDR_SIZE = 64;
const PHDR_SIZE = 56;
const SHDR_SIZE = 64;

/** e_phnum's escape value: the real count is in sh_info of the first section header (System V gABI, ELF header). */
const PN_XNUM = 0xffff;
const SH_INFO = 44;

/** Most segments that are loaded: they are kept in memory, and each takes at least a page of the guest. */
const SEGMENT_LIMIT = 0x10000;

/** Program headers that are read at a time. */
const HEADERS_AT_ONCE = 1024;

const PT_LOAD = 1;
const PT_INTERP = 3;
const PT_GNU_STACK = 0x6474e551;

/** e_machine of the architectures we load. */
const MACHINE: Record<GuestArch, number> = { x64: 62, aarch64: 183 };

/** A PT_LOAD program header: raw, unchecked values. */
export interface LoadSegment {
  /** p_offset: bytes in the file. */
  fileOffset: bigint;
  /** p_paddr. */
  physicalAddress: bigint;
  /** p_filesz and p_memsz in bytes. */
  fileSize: bigint;
  memorySize: bigint;
}

/** The header fields of an ELF file that a loader needs. */
export interface ElfHeader {
  /** e_entry. */
  entry: bigint;
  /** The PT_LOAD headers in file order, including empty ones. */
  segments: LoadSegment[];
}

const MAGIC = 0x7f454c46;

/** Whether a file starts like an ELF file. */
export function isElf(source: ByteSource): boolean {
  if (source.size < 4) return false;
  const magic = new Uint8Array(4);
  source.read(0, magic);
  return new DataView(magic.buffer).getUint32(0) === MAGIC;
}

/** Program headers that are searched to recognise a program: programs have about ten. */
const PROGRAM_HEADERS = 64;

/**
 * What an ELF file is if it is a user-space program. A dynamic program names its interpreter. A static one requests a
 * stack and loads its own ELF header, which its C library reads. Kernels do neither.
 * @returns a noun with its article; undefined for a kernel, and for a truncated file
 */
export function programKind(source: ByteSource): string | undefined {
  if (source.size < EHDR_SIZE) return undefined;
  const header = new DataView(new ArrayBuffer(EHDR_SIZE));
  source.read(0, new Uint8Array(header.buffer));
  const count = Math.min(header.getUint16(56, true), PROGRAM_HEADERS);
  const at = header.getBigUint64(32, true);
  if (header.getUint16(54, true) !== PHDR_SIZE || at + BigInt(count * PHDR_SIZE) > BigInt(source.size))
    return undefined;
  const table = new DataView(new ArrayBuffer(count * PHDR_SIZE));
  source.read(Number(at), new Uint8Array(table.buffer));
  const headers = Array.from({ length: count }, (_, index) => ({
    type: table.getUint32(index * PHDR_SIZE, true),
    offset: table.getBigUint64(index * PHDR_SIZE + 8, true),
    fileSize: table.getBigUint64(index * PHDR_SIZE + 32, true),
  }));
  if (headers.some(({ type }) => type === PT_INTERP)) return 'a program for user space, or a shared library';
  const isInMemory = headers.some(
    ({ type, offset, fileSize }) => type === PT_LOAD && offset === 0n && fileSize >= BigInt(EHDR_SIZE),
  );
  const isProgram = isInMemory && headers.some(({ type }) => type === PT_GNU_STACK);
  return isProgram ? 'a program for user space' : undefined;
}

/**
 * Reads the header and the program headers of a little-endian ELF64 file. The first section header is read only for the
 * count of program headers.
 * @param label what the file is, for messages
 * @throws IgvmError KERNEL_INVALID with the byte offset of the offending field
 */
export function readElfHeader(source: ByteSource, arch: GuestArch, label: string): ElfHeader {
  const invalid: Invalid = (what, offset) => new IgvmError('KERNEL_INVALID', `${label} ${what}`, { offset });

  if (source.size < EHDR_SIZE) throw invalid(`is too short for an ELF file: it has ${source.size} bytes`, 0);
  const bytes = new Uint8Array(EHDR_SIZE);
  source.read(0, bytes);
  const view = new DataView(bytes.buffer);
  if (view.getUint32(0) !== MAGIC) {
    const kind = isBzImage(source) ? 'is a bzImage; unpack it: its vmlinux is needed here' : fileKind(source, arch);
    const saysAll = kind !== undefined;
    throw new IgvmError('KERNEL_INVALID', `${label} ${kind ?? 'is not an ELF file'}`, { offset: 0 }, { saysAll });
  }
  if (bytes[4] !== 2) throw invalid('is not a 64-bit ELF file', 4);
  if (bytes[5] === 2) throw invalid('is a big-endian ELF file; only little-endian ones can be loaded', 5);
  if (bytes[5] !== 1) throw invalid(`has an unknown ELF byte order (${bytes[5]})`, 5);
  if (bytes[6] !== 1) throw invalid(`has an unknown ELF version (${bytes[6]})`, 6);
  const machine = view.getUint16(18, true);
  if (machine !== MACHINE[arch]) {
    throw invalid(`was built for an architecture other than ${arch} (ELF machine ${machine})`, 18);
  }
  const entry = view.getBigUint64(24, true);
  const tableOffset = view.getBigUint64(32, true);
  const count = tableOffset === 0n ? 0 : programHeaderCount(source, view, invalid);
  if (count === 0) return { entry, segments: [] };
  const entrySize = view.getUint16(54, true);
  if (entrySize !== PHDR_SIZE) throw invalid(`has program headers of ${entrySize} instead of ${PHDR_SIZE} bytes`, 54);
  if (tableOffset + BigInt(count * PHDR_SIZE) > BigInt(source.size)) {
    throw invalid(`is truncated: its ${count} program headers do not lie within the file`, 32);
  }

  const segments: LoadSegment[] = [];
  for (let first = 0; first < count; first += HEADERS_AT_ONCE) {
    const table = new Uint8Array(Math.min(HEADERS_AT_ONCE, count - first) * PHDR_SIZE);
    source.read(Number(tableOffset) + first * PHDR_SIZE, table);
    segments.push(...loadSegments(new DataView(table.buffer)));
    if (segments.length > SEGMENT_LIMIT) throw invalid(`has more than ${SEGMENT_LIMIT} segments to load`, 56);
  }
  return { entry, segments };
}

type Invalid = (what: string, offset: number) => IgvmError;

function programHeaderCount(source: ByteSource, header: DataView, invalid: Invalid): number {
  const count = header.getUint16(56, true);
  if (count !== PN_XNUM) return count;
  const sectionOffset = header.getBigUint64(40, true);
  const sectionSize = header.getUint16(58, true);
  if (sectionOffset === 0n)
    throw invalid('has 65535 or more program headers and no section header that counts them', 56);
  if (sectionSize !== SHDR_SIZE) {
    throw invalid(`has section headers of ${sectionSize} instead of ${SHDR_SIZE} bytes`, 58);
  }
  if (sectionOffset + BigInt(SHDR_SIZE) > BigInt(source.size)) {
    throw invalid('is truncated: its first section header does not lie within the file', 40);
  }
  const section = new DataView(new ArrayBuffer(SHDR_SIZE));
  source.read(Number(sectionOffset), new Uint8Array(section.buffer));
  return section.getUint32(SH_INFO, true);
}

function loadSegments(headers: DataView): LoadSegment[] {
  const segments: LoadSegment[] = [];
  for (let at = 0; at < headers.byteLength; at += PHDR_SIZE) {
    if (headers.getUint32(at, true) !== PT_LOAD) continue;
    segments.push({
      fileOffset: headers.getBigUint64(at + 8, true),
      physicalAddress: headers.getBigUint64(at + 24, true),
      fileSize: headers.getBigUint64(at + 32, true),
      memorySize: headers.getBigUint64(at + 40, true),
    });
  }
  return segments;
}
