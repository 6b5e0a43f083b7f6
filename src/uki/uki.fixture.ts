/** A section to write, and fields of its header with other values. */
export interface WrittenSection {
  name: string;
  content: Uint8Array | string;
  header?: Partial<{ virtualSize: number; rawSize: number; rawStart: number }>;
}

const HEADERS = 0x80;
const OPTIONAL_SIZE = 0xf0;
const FILE_ALIGNMENT = 512;
const MACHINE_X64 = 0x8664;

/** An EFI program (PE32+) with these sections. Like ukify and objcopy, it puts each at a multiple of 512 bytes. */
export function peFile(sections: readonly WrittenSection[]): Buffer {
  const contents = sections.map(({ content }) => Buffer.from(content));
  const headersSize = align(HEADERS + 24 + OPTIONAL_SIZE + 40 * sections.length, FILE_ALIGNMENT);
  const size = contents.reduce((sum, { length }) => sum + align(length, FILE_ALIGNMENT), headersSize);
  const file = Buffer.alloc(size);
  file.write('MZ');
  file.writeUInt32LE(HEADERS, 0x3c);
  file.write('PE\0\0', HEADERS, 'latin1');
  file.writeUInt16LE(MACHINE_X64, HEADERS + 4);
  file.writeUInt16LE(sections.length, HEADERS + 6);
  file.writeUInt16LE(OPTIONAL_SIZE, HEADERS + 20);
  const optional = HEADERS + 24;
  file.writeUInt16LE(0x20b, optional);
  file.writeUInt32LE(headersSize, optional + 60);
  file.writeUInt16LE(10, optional + 68);
  file.writeUInt32LE(16, optional + 108);
  let rawStart = headersSize;
  let address = 0x1000;
  for (const [index, { name, header = {} }] of sections.entries()) {
    const { length } = contents[index]!;
    const at = optional + OPTIONAL_SIZE + 40 * index;
    file.write(name, at, 8, 'latin1');
    file.writeUInt32LE(header.virtualSize ?? length, at + 8);
    file.writeUInt32LE(address, at + 12);
    file.writeUInt32LE(header.rawSize ?? align(length, FILE_ALIGNMENT), at + 16);
    file.writeUInt32LE(header.rawStart ?? rawStart, at + 20);
    contents[index]!.copy(file, rawStart);
    rawStart += align(length, FILE_ALIGNMENT);
    address += align(length, 0x1000);
  }
  return file;
}

/** A UKI with the code of a stub, followed by these sections. */
export const ukiFile = (sections: Readonly<Record<string, Uint8Array | string>>): Buffer =>
  peFile([
    { name: '.text', content: new Uint8Array(100).fill(0xcc) },
    ...Object.entries(sections).map(([name, content]) => ({ name, content })),
  ]);

const align = (size: number, to: number): number => Math.ceil(size / to) * to;
