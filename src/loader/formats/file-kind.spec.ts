import { gzipSync } from 'node:zlib';
import { readFileSync } from 'node:fs';
import { noise } from '../../../conformance/inputs/bytes';
import { bytesSource } from '../../memory/byte-source';
import { elfFile } from './elf.fixture';
import { programKind } from './elf-header';
import { fileKind } from './file-kind';
import { bytes } from './kernel.fixture';

const kindOf = (file: Uint8Array, arch: 'x64' | 'aarch64' = 'x64') => fileKind(bytesSource(file), arch);

const file = (size: number, ...parts: readonly (readonly [offset: number, text: string])[]): Uint8Array => {
  const buffer = Buffer.alloc(size);
  for (const [offset, text] of parts) buffer.write(text, offset, 'latin1');
  return buffer;
};

/** A PE file: its machine, its subsystem, and the names of its sections. */
function pe(machine: number, subsystem: number, sections: readonly string[] = []): Buffer {
  const buffer = Buffer.alloc(0x400);
  buffer.write('MZ');
  buffer.writeUInt32LE(0x80, 0x3c);
  buffer.write('PE\0\0', 0x80, 'latin1');
  buffer.writeUInt16LE(machine, 0x84);
  buffer.writeUInt16LE(sections.length, 0x86);
  buffer.writeUInt16LE(0xf0, 0x94);
  buffer.writeUInt16LE(subsystem, 0x98 + 68);
  for (const [index, name] of sections.entries()) buffer.write(name, 0x98 + 0xf0 + 40 * index, 'latin1');
  return buffer;
}

describe('a file that is not a kernel', () => {
  it.each([
    ['gzip', gzipSync(bytes(9000, 1)), 'compressed with gzip: unpack it first (gzip -dc)'],
    ['zstd', file(100, [0, '\x28\xb5\x2f\xfd']), 'zstd -dc'],
    ['xz', file(100, [0, '\xfd7zXZ\0']), 'xz -dc'],
    ['cpio', file(512, [0, '070701']), 'is a cpio archive, like an initramfs, not a kernel: give it as linux_initrd'],
    ['a Debian package', file(512, [0, '!<arch>\n']), 'a Debian package'],
    ['an IGVM image', file(64, [0, 'IGVM']), 'is an IGVM image'],
    ['an empty file', new Uint8Array(0), 'is an empty file'],
    ['a UKI', pe(0x8664, 10, ['.text', '.osrel', '.linux', '.initrd']), 'a unified kernel image (UKI)'],
    ['a boot loader', pe(0x8664, 10, ['.text']), 'is an EFI program for x64, which only firmware can start'],
    ['a Windows program', pe(0x14c, 3), 'is a program for Windows for 32-bit x86, not a kernel'],
    ['a DOS program', file(100, [0, 'MZ']), 'is a program for DOS, Windows or EFI'],
    [
      'a zboot kernel',
      file(0x3000, [0, 'MZ\0\0zimg'], [24, 'xzkern']),
      'unpack the kernel inside it, which is compressed with xz',
    ],
    ['an Image', file(100, [0, 'MZ'], [56, 'ARM\x64']), 'for arm64, and the guest is x64: use a bzImage'],
    ['a RISC-V Image', file(100, [0, 'MZ'], [56, 'RSC\x05']), 'is a kernel Image for RISC-V'],
  ])('is named: %s', (_, content, text) => {
    expect(kindOf(content)).toContain(text);
  });

  it('explains how to extract the kernel from a zboot kernel', () => {
    const content = Buffer.from(file(0x3000, [0, 'MZ\0\0zimg'], [24, 'gzip']));
    content.writeUInt32LE(0x1000, 8);
    content.writeUInt32LE(0x800, 12);
    expect(kindOf(content)).toContain('compressed with gzip (tail -c +4097 FILE | head -c 2048 | gzip -dc)');
    content.writeUInt32LE(0xffffffff, 12);
    expect(kindOf(content)).toMatch(/compressed with gzip$/);
  });

  it('gets a message about the format that its architecture needs', () => {
    expect(kindOf(pe(0xaa64, 10), 'aarch64')).toContain(
      "for arm64, which only firmware can start, not a kernel that can be loaded: use the kernel's Image",
    );
  });

  it('may be an unknown format, an ELF file, or arbitrary bytes', () => {
    expect(kindOf(bytes(5000, 1))).toBeUndefined();
    expect(kindOf(elfFile('x64', 0, []))).toBeUndefined();
    const headers = [...pe(0x8664, 10, ['.linux'])];
    for (let seed = 0; seed < 300; seed++) {
      const content = Uint8Array.from(headers);
      const changes = noise(`pe ${seed}`, 12);
      for (let at = 0; at < 12; at += 3) content[0x3c + ((changes[at]! << 2) % 0x160)] = changes[at + 1]!;
      expect(() => kindOf(content.subarray(0, 1 + ((seed * 7) % content.length)))).not.toThrow();
    }
  });
});

describe('a program', () => {
  it.each(['/bin/ls', '/bin/busybox', process.execPath])('is distinguished from a kernel: %s', (path) => {
    let content: Buffer;
    try {
      content = readFileSync(path).subarray(0, 65536);
    } catch {
      return; // It isn't on this system.
    }
    if (content.readUInt32BE(0) !== 0x7f454c46) return;
    expect(programKind(bytesSource(content))).toContain('a program for user space');
  });

  it('is neither a kernel nor a truncated file', () => {
    const kernel = elfFile('x64', 0x1000000, [{ address: 0x1000000, data: bytes(100, 1) }]);
    expect(programKind(bytesSource(kernel))).toBeUndefined();
    for (let size = 0; size < 130; size++) expect(programKind(bytesSource(kernel.subarray(0, size)))).toBeUndefined();
  });
});
