import { crc32 } from 'node:zlib';
import type { PageDataDirective } from '../../igvm/model';
import { streamDirectives } from '../../igvm/stream';
import { bytesSource } from '../../memory/byte-source';
import { InitrdChecksum } from './openhcl-shim-params';

const run = (gpa: number, bytes: Uint8Array): PageDataDirective => ({
  type: 'pageData',
  gpa,
  pageCount: Math.ceil(bytes.length / 4096),
  flags: 0,
  dataType: 0,
  compatibilityMask: 1,
  content: bytesSource(bytes),
});
const INITRD = Uint8Array.from({ length: 3_000_001 }, (_, index) => (index * 31) >> 3);

describe('InitrdChecksum', () => {
  it('sums the initrd’s bytes without padding, and no other pages', async () => {
    const checksum = new InitrdChecksum(0x200000, INITRD.length);
    const around = new Uint8Array(8192).fill(1);
    const directives = [run(0x100000, around), run(0x200000, INITRD), run(0x800000, around)];
    await streamDirectives({ directives }, [checksum]);
    expect(checksum.value()).toBe(crc32(INITRD));
  });

  it('is 0 for an empty initrd', () => {
    expect(new InitrdChecksum(0x1000, 0).value()).toBe(0);
  });

  it('is unknown until all pages have been seen', () => {
    expect(() => new InitrdChecksum(0x1000, 1).value()).toThrow(/bug/);
  });
});
