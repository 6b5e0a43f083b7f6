import fc from 'fast-check';
import { bytesSource } from '../memory/byte-source';
import { imageInDll, isPortableExecutable } from './firmware-dll';
import { dll, IMAGE } from './firmware-dll.fixture';

const extracted = (bytes: Uint8Array): Uint8Array => {
  const source = imageInDll(bytesSource(bytes));
  const image = new Uint8Array(source.size);
  source.read(0, image);
  return image;
};

describe('firmware DLL', () => {
  it('is told by its first bytes', () => {
    expect(isPortableExecutable(bytesSource(dll()))).toBe(true);
    expect(isPortableExecutable(bytesSource(Buffer.from('IGVM')))).toBe(false);
    expect(isPortableExecutable(bytesSource(new Uint8Array(1)))).toBe(false);
  });

  it('gives the image in its VMFW resource', () => {
    expect(extracted(dll())).toEqual(IMAGE);
  });

  it.each<[string, Uint8Array, string]>([
    ['of another resource type', dll({ type: 'VMFX' }), 'no resource of type VMFW'],
    ['for 32 bits', dll({ magic: 0x10b }), 'not a 64-bit PE file'],
    ['without resources', dll({ directoryCount: 2 }), 'no resources'],
    ['whose image is cut off', dll({ imageSize: 0x201 }), 'beyond the end of its section'],
    ['that ends early', dll().subarray(0, 0x100), 'cut off'],
  ])('refuses a DLL %s', (_, bytes, message) => {
    expect(() => extracted(bytes)).toThrow(
      expect.objectContaining({ code: 'IGVM_MALFORMED', message: expect.stringContaining(message) }),
    );
  });

  it('survives any damage', () => {
    fc.assert(
      fc.property(fc.nat(0x37f), fc.nat(255), fc.nat(0x600), (at, value, size) => {
        const bytes = dll();
        bytes[at] = value;
        try {
          extracted(bytes.subarray(0, size));
        } catch (error) {
          expect(error).toMatchObject({ code: 'IGVM_MALFORMED' });
        }
      }),
      { numRuns: 2000 },
    );
  });
});
