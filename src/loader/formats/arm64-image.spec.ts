import { bytesSource } from '../../memory/byte-source';
import { readArm64Image } from './arm64-image';
import { arm64ImageFile } from './kernel.fixture';

describe('readArm64Image', () => {
  it('reads the kernel’s offset and the memory that it needs', () => {
    const image = arm64ImageFile(0x1000, { textOffset: 0x80000n, imageSize: 0x4001n });
    expect(readArm64Image(bytesSource(image), 'linux-kernel')).toEqual({ textOffset: 0x80000n, imageSize: 0x4001n });
  });

  it.each([
    ['cut off in the header', arm64ImageFile(0x1000).subarray(0, 63), 'too short', 0],
    ['that is not an Image', arm64ImageFile(0x1000, { magic: 0x58585858 }), 'not an arm64 kernel Image', 56],
    ['that is big-endian', arm64ImageFile(0x1000, { flags: 0xbn }), 'big-endian', 24],
    ['for 64 KiB pages', arm64ImageFile(0x1000, { flags: 0xen }), 'not built for pages of 4 KiB', 24],
    ['of unknown page size', arm64ImageFile(0x1000, { flags: 0x8n }), 'not built for pages of 4 KiB', 24],
    ['for low memory', arm64ImageFile(0x1000, { flags: 0x2n }), 'cannot be moved', 24],
  ])('rejects a kernel %s', (_name, kernel, message, offset) => {
    expect(() => readArm64Image(bytesSource(kernel), 'linux-kernel')).toThrow(
      expect.objectContaining({
        code: 'KERNEL_INVALID',
        message: expect.stringContaining(message) as string,
        where: { offset },
      }),
    );
  });
});
