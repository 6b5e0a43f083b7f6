import { bytesSource } from '../../memory/byte-source';
import { elfFile, u64, withCountInSection } from './elf.fixture';
import { readElfHeader } from './elf-header';
import { bytes, patched } from './kernel.fixture';

const kernel = elfFile('x64', 0x1000200, [
  { address: 0x1000000, data: bytes(0x2345, 1) },
  { address: 0x1200000, data: bytes(0x800, 2), memorySize: 0x3001 },
]);

describe('readElfHeader', () => {
  it('reads the entry point and the segments to load', () => {
    expect(readElfHeader(bytesSource(kernel), 'x64', 'kernel')).toEqual({
      entry: 0x1000200n,
      segments: [
        { fileOffset: 0x1000n, physicalAddress: 0x1000000n, fileSize: 0x2345n, memorySize: 0x2345n },
        { fileOffset: 0x4000n, physicalAddress: 0x1200000n, fileSize: 0x800n, memorySize: 0x3001n },
      ],
    });
  });

  it.each([
    ['an empty file', new Uint8Array(0), 'too short', 0],
    ['less than a header', kernel.subarray(0, 63), 'too short', 0],
    ['another magic', patched(kernel, 0, [0x7e]), 'not an ELF file', 0],
    ['32 bits', patched(kernel, 4, [1]), 'not a 64-bit ELF', 4],
    ['big-endian', patched(kernel, 5, [2]), 'big-endian', 5],
    ['an unknown byte order', patched(kernel, 5, [3]), 'byte order', 5],
    ['an unknown version', patched(kernel, 6, [2]), 'ELF version', 6],
    ['another architecture', patched(kernel, 18, [183]), 'an architecture other than x64 (ELF machine 183)', 18],
    ['program headers of another size', patched(kernel, 54, [32]), 'program headers of 32', 54],
    ['program headers after the end of the file', patched(kernel, 32, u64(BigInt(kernel.length))), 'truncated', 32],
    ['program headers at the highest offset', patched(kernel, 32, u64(2n ** 64n - 1n)), 'truncated', 32],
    ['a file cut off in its program headers', kernel.subarray(0, 64 + 56), 'truncated', 32],
    ['a giant number of program headers', patched(kernel, 56, [0xfe, 0xff]), 'truncated', 32],
    ['the escape for more program headers without a section header', patched(kernel, 56, [0xff, 0xff]), 'counts', 56],
    ['section headers of another size', patched(withCountInSection(kernel, 2), 58, [40]), 'section headers of 40', 58],
    [
      'a section header that ends after the file',
      withCountInSection(kernel, 2).subarray(0, -1),
      'first section header',
      40,
    ],
    ['a giant number of program headers, counted elsewhere', withCountInSection(kernel, 0xffffffff), 'truncated', 32],
  ])('rejects %s', (_name, file, message, offset) => {
    expect(() => readElfHeader(bytesSource(file), 'x64', 'kernel')).toThrow(
      expect.objectContaining({
        code: 'KERNEL_INVALID',
        message: expect.stringContaining(message) as string,
        where: { offset },
      }),
    );
  });
});
