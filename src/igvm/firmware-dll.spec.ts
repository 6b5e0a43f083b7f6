import fc from 'fast-check';
import { bytesSource } from '../memory/byte-source';
import { imageInDll, isPortableExecutable } from './firmware-dll';

const IMAGE = Uint8Array.from({ length: 100 }, (_, index) => index);

interface DllOptions {
  type?: string;
  magic?: number;
  imageSize?: number;
  directoryCount?: number;
}

/** A resource DLL with one section: root directory, id, language, data entry, name, image. */
function dll({
  type = 'VMFW',
  magic = 0x20b,
  imageSize = IMAGE.length,
  directoryCount = 16,
}: DllOptions = {}): Uint8Array {
  const bytes = new Uint8Array(0x600);
  const view = new DataView(bytes.buffer);
  const u16 = (at: number, value: number): void => view.setUint16(at, value, true);
  const u32 = (at: number, value: number): void => view.setUint32(at, value, true);
  u16(0, 0x5a4d);
  u32(0x3c, 0x80);
  u32(0x80, 0x4550);
  u16(0x86, 1);
  u16(0x94, 240);
  const optional = 0x98;
  u16(optional, magic);
  u32(optional + 108, directoryCount);
  u32(optional + 128, 0x1000);
  const section = optional + 240;
  u32(section + 8, 0x300);
  u32(section + 12, 0x1000);
  u32(section + 16, 0x400);
  u32(section + 20, 0x200);
  const root = 0x200;
  const directory = (at: number, name: number, offset: number): void => {
    u16(root + at + 12, name > 0x7fffffff ? 1 : 0);
    u16(root + at + 14, name > 0x7fffffff ? 0 : 1);
    u32(root + at + 16, name);
    u32(root + at + 20, offset);
  };
  directory(0, 0x80000080, 0x80000020);
  directory(0x20, 1, 0x80000040);
  directory(0x40, 0x409, 0x60);
  u32(root + 0x60, 0x1100);
  u32(root + 0x64, imageSize);
  u16(root + 0x80, type.length);
  for (let index = 0; index < type.length; index++) u16(root + 0x82 + 2 * index, type.charCodeAt(index));
  bytes.set(IMAGE, root + 0x100);
  return bytes;
}

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
