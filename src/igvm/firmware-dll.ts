import { IgvmError } from '../errors/igvm-error';
import { type ByteSource, regionSource } from '../memory/byte-source';

/** Type of the resource that holds the image (openvmm openhcl/vmfirmwareigvm_dll/resources.rc: `1 VMFW`). */
const RESOURCE_TYPE = 'VMFW';

/** Sizes in bytes of the structures read below (Microsoft PE format specification). */
const SIZE = { dosHeader: 64, coffHeader: 24, section: 40, directory: 16, entry: 8, dataEntry: 16 } as const;

/** PE32+, the optional header of 64-bit files. */
const PE32_PLUS = 0x20b;

/** Index of the resource table among the data directories, and where these begin in a PE32+ optional header. */
const RESOURCE_TABLE = 2;
const DATA_DIRECTORIES = 112;

/** Set in the offset of a resource entry that leads to another directory, and in a name that is an offset. */
const HIGH_BIT = 0x8000_0000;

/** Whether a file is a PE file, by its first bytes. */
export function isPortableExecutable(source: ByteSource): boolean {
  if (source.size < 2) return false;
  const start = new Uint8Array(2);
  source.read(0, start);
  return start[0] === 0x4d && start[1] === 0x5a;
}

/** The image in a DLL. */
export interface DllImage {
  source: ByteSource;
  /** Byte offset of the image in the DLL. */
  offset: number;
}

/**
 * The image inside a firmware DLL (vmfirmwareigvm.dll): resource type VMFW, its first id and language.
 * @throws IgvmError IGVM_MALFORMED when the file is not a 64-bit DLL with such a resource
 */
export function imageInDll(dll: ByteSource): DllImage {
  const pe = new PortableExecutable(dll);
  const types = pe.directory(0);
  const type = types.find(({ name }) => (name & HIGH_BIT) !== 0 && pe.nameAt(name & ~HIGH_BIT) === RESOURCE_TYPE);
  if (type === undefined) throw malformed(`the DLL has no resource of type ${RESOURCE_TYPE}, and so no IGVM image`);
  let entry = type;
  for (const what of ['id', 'language']) {
    const [first] = pe.directory(entry.offset & ~HIGH_BIT);
    if ((entry.offset & HIGH_BIT) === 0 || first === undefined) {
      throw malformed(`the ${RESOURCE_TYPE} resource of the DLL has no ${what}`);
    }
    entry = first;
  }
  if ((entry.offset & HIGH_BIT) !== 0) throw malformed(`the ${RESOURCE_TYPE} resource of the DLL is nested too deeply`);
  return pe.dataAt(entry.offset);
}

interface Section {
  virtualAddress: number;
  /** Bytes that are both in the file and in memory. */
  size: number;
  fileOffset: number;
}

interface ResourceEntry {
  name: number;
  offset: number;
}

/** The parts of a PE file that are needed here. Every offset is checked against the file. */
class PortableExecutable {
  private readonly sections: Section[];
  /** File offset of the resource section's root. */
  private readonly root: number;

  constructor(private readonly source: ByteSource) {
    const peOffset = this.view(0, SIZE.dosHeader).getUint32(0x3c, true);
    const coff = this.view(peOffset, SIZE.coffHeader);
    if (coff.getUint32(0, true) !== 0x4550) throw malformed('the DLL has no PE header');
    const sectionCount = coff.getUint16(6, true);
    const optionalSize = coff.getUint16(20, true);
    const optional = this.view(peOffset + SIZE.coffHeader, optionalSize);
    if (optionalSize < DATA_DIRECTORIES || optional.getUint16(0, true) !== PE32_PLUS) {
      throw malformed('the DLL is not a 64-bit PE file');
    }
    const sections = this.view(peOffset + SIZE.coffHeader + optionalSize, sectionCount * SIZE.section);
    this.sections = Array.from({ length: sectionCount }, (_, index) => {
      const at = index * SIZE.section;
      return {
        virtualAddress: sections.getUint32(at + 12, true),
        size: Math.min(sections.getUint32(at + 8, true), sections.getUint32(at + 16, true)),
        fileOffset: sections.getUint32(at + 20, true),
      };
    });
    const directory = DATA_DIRECTORIES + RESOURCE_TABLE * 8;
    const hasResources = optionalSize >= directory + 8 && optional.getUint32(108, true) > RESOURCE_TABLE;
    const address = hasResources ? optional.getUint32(directory, true) : 0;
    if (address === 0)
      throw malformed('the file is a program or DLL (PE) without resources, and so without an IGVM image');
    this.root = this.fileOffsetOf(address).offset;
  }

  /** The entries of a directory at `offset` from the root. */
  directory(offset: number): ResourceEntry[] {
    const header = this.view(this.root + offset, SIZE.directory);
    const count = header.getUint16(12, true) + header.getUint16(14, true);
    const entries = this.view(this.root + offset + SIZE.directory, count * SIZE.entry);
    return Array.from({ length: count }, (_, index) => ({
      name: entries.getUint32(index * SIZE.entry, true),
      offset: entries.getUint32(index * SIZE.entry + 4, true),
    }));
  }

  /** A resource name: length and UTF-16. */
  nameAt(offset: number): string {
    const length = this.view(this.root + offset, 2).getUint16(0, true);
    if (length !== RESOURCE_TYPE.length) return '';
    const text = this.view(this.root + offset + 2, 2 * length);
    return String.fromCharCode(...Array.from({ length }, (_, index) => text.getUint16(2 * index, true)));
  }

  /** What the data entry at `offset` from the root describes. */
  dataAt(offset: number): DllImage {
    const entry = this.view(this.root + offset, SIZE.dataEntry);
    const size = entry.getUint32(4, true);
    const { offset: start, available } = this.fileOffsetOf(entry.getUint32(0, true));
    if (size > available || start + size > this.source.size) {
      throw malformed('the IGVM image goes beyond the end of its section in the DLL');
    }
    return { source: regionSource(this.source, start, size), offset: start };
  }

  private fileOffsetOf(address: number): { offset: number; available: number } {
    const section = this.sections.find(
      ({ virtualAddress, size }) => address >= virtualAddress && address < virtualAddress + size,
    );
    if (section === undefined) throw malformed(`address 0x${address.toString(16)} lies in no section of the DLL`);
    const within = address - section.virtualAddress;
    return { offset: section.fileOffset + within, available: section.size - within };
  }

  private view(offset: number, size: number): DataView {
    if (offset + size > this.source.size) throw malformed('the DLL is cut off');
    const bytes = new Uint8Array(size);
    this.source.read(offset, bytes);
    return new DataView(bytes.buffer);
  }
}

const malformed = (message: string): IgvmError => new IgvmError('IGVM_MALFORMED', message);
