import { bytesSource } from '../memory/byte-source';
import { isLinuxKernel, notAnImage } from './not-an-image';

function file(size: number, ...marks: [offset: number, text: string][]): Uint8Array {
  const bytes = new Uint8Array(size);
  for (const [offset, text] of marks) bytes.set(Buffer.from(text, 'latin1'), offset);
  return bytes;
}

describe('a file in the place of an image', () => {
  it.each([
    ['a bzImage, an EFI program at the same time', file(4096, [0, 'MZ'], [0x202, 'HdrS']), 'is a Linux kernel'],
    ['an Image', file(4096, [0x38, 'ARM\x64']), 'is a Linux kernel'],
    ['a vmlinux', file(64, [0, '\x7fELF']), 'an ELF file'],
    ['an initramfs', file(110, [0, '070701']), 'a cpio archive'],
    ['a manifest', file(20, [0, '{ "guest_arch"']), '"nx-igvm build" makes an image of one'],
    ['nothing', file(0), 'is empty'],
  ])('is named: %s', (_, bytes, said) => {
    expect(notAnImage(bytesSource(bytes))).toContain(said);
  });

  it('is told from a firmware DLL', () => {
    expect(isLinuxKernel(bytesSource(file(4096, [0, 'MZ'])))).toBe(false);
    expect(isLinuxKernel(bytesSource(file(0x206, [0, 'MZ'], [0x202, 'HdrS'])))).toBe(true);
    expect(isLinuxKernel(bytesSource(file(0x205, [0, 'MZ'], [0x202, 'Hdr'])))).toBe(false);
    expect(notAnImage(bytesSource(file(8)))).toBeUndefined();
  });
});
