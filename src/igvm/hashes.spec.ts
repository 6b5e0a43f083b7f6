import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { portableCrc32 } from './hashes';

describe('portableCrc32', () => {
  it('returns the check value of the algorithm', () => {
    expect(portableCrc32(new TextEncoder().encode('123456789'))).toBe(0xcbf4_3926);
  });

  it('agrees with zlib for any seed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(0xffff_ffff), (bytes, seed) => {
        expect(portableCrc32(bytes)).toBe(crc32(bytes));
        expect(portableCrc32(bytes, seed)).toBe(crc32(bytes, seed));
      }),
    );
  });
});
