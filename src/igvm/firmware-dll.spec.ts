import fc from 'fast-check';
import { bytesSource } from '../memory/byte-source';
import { imageInDll, isPortableExecutable } from './firmware-dll';
import { dll, IMAGE } from './firmware-dll.fixture';

const extracted = (bytes: Uint8Array): Uint8Array => {
  const { source, offset } = imageInDll(bytesSource(bytes));
  const image = new Uint8Array(source.size);
  source.read(0, image);
  expect(bytes.subarray(offset, offset + image.length)).toEqual(image);
  return image;
};

/** Places in the DLL of the fixture. */
const OPTIONAL_HEADER = 0x98;
const SECTION = 0x188;
const ROOT = 0x200;
const TYPE = ROOT + 16;
const IDS = ROOT + 0x20;
const LANGUAGES = ROOT + 0x40;

/** The DLL of the fixture with some words changed. */
function changed(...words: [at: number, value: number][]): Uint8Array {
  const bytes = dll();
  const view = new DataView(bytes.buffer);
  for (const [at, value] of words) view.setUint32(at, value, true);
  return bytes;
}

describe('firmware DLL', () => {
  it('is recognised by its first bytes', () => {
    expect(isPortableExecutable(bytesSource(dll()))).toBe(true);
    expect(isPortableExecutable(bytesSource(Buffer.from('IGVM')))).toBe(false);
    expect(isPortableExecutable(bytesSource(Buffer.from('MZ')))).toBe(true);
    for (const other of ['M', 'MX', 'XZ']) expect(isPortableExecutable(bytesSource(Buffer.from(other)))).toBe(false);
  });

  it('returns the image in its VMFW resource', () => {
    expect(extracted(dll())).toEqual(IMAGE);
  });

  it('may have no data directories after the resources, and an image as large as its section', () => {
    expect(extracted(dll({ directoryCount: 3 }))).toEqual(IMAGE);
    expect(extracted(dll({ imageSize: 0x200 }))).toHaveLength(0x200);
  });

  it('may have resources of other types before the image', () => {
    // Two named entries: ICON, then the original one.
    const bytes = changed([ROOT + 12, 2], [TYPE, 0x8000_0090], [TYPE + 8, 0x8000_0080], [TYPE + 12, 0x8000_0020]);
    bytes.set([4, 0, ...Buffer.from('ICON', 'utf16le')], ROOT + 0x90);
    expect(extracted(bytes)).toEqual(IMAGE);
  });

  it('may have other sections before and after the resources', () => {
    const bytes = dll();
    const section = bytes.slice(SECTION, SECTION + 40);
    const other = section.slice();
    new DataView(other.buffer).setUint32(12, 0x300, true);
    for (const order of [
      [other, section],
      [section, other],
    ]) {
      bytes.set(
        order.flatMap((each) => [...each]),
        SECTION,
      );
      bytes[0x86] = 2;
      expect(extracted(bytes)).toEqual(IMAGE);
    }
  });

  it.each<[string, Uint8Array, string]>([
    ['of another resource type', dll({ type: 'VMFX' }), 'no resource of type VMFW'],
    ['for 32 bits', dll({ magic: 0x10b }), 'not a 64-bit PE file'],
    ['without resources', dll({ directoryCount: 2 }), 'without resources'],
    ['whose image is cut off', dll({ imageSize: 0x201 }), 'beyond the end of its section'],
    ['that ends early', dll().subarray(0, 0x100), 'cut off'],
    ['that ends within its image', dll().subarray(0, ROOT + 0x100 + IMAGE.length - 1), 'beyond the end of its section'],
    ['with a longer resource type', dll({ type: 'VMFWX' }), 'no resource of type VMFW'],
    ['whose resource type is a number', changed([ROOT + 12, 0x1_0000], [TYPE, 0x80]), 'no resource of type VMFW'],
    ['without PE header', changed([0x80, 0x4551]), 'no PE header'],
    ['whose optional header is too small', changed([0x94, 111]), 'not a 64-bit PE file'],
    ['whose optional header ends before the resources', changed([0x94, 135]), 'without resources'],
    ['whose resources are nowhere', changed([OPTIONAL_HEADER + 128, 0]), 'without resources'],
    [
      'whose resources lie before its section',
      changed([OPTIONAL_HEADER + 128, 0xfff]),
      'address 0xfff lies in no section',
    ],
    ['whose resources lie after its section', changed([OPTIONAL_HEADER + 128, 0x1300]), '0x1300 lies in no section'],
    ['whose section is not all in the file', changed([SECTION + 16, 0x100]), 'address 0x1100 lies in no section'],
    ['whose resource has no id', changed([IDS + 12, 0]), 'resource of the DLL has no id'],
    ['whose resource has data in place of ids', changed([TYPE + 4, 0x20]), 'resource of the DLL has no id'],
    ['whose resource has no language', changed([LANGUAGES + 12, 0]), 'resource of the DLL has no language'],
    ['whose id is data', changed([IDS + 20, 0x40]), 'resource of the DLL has no language'],
    ['whose language has further parts', changed([LANGUAGES + 20, 0x8000_0060]), 'nested too deeply'],
  ])('refuses a DLL %s', (_, bytes, message) => {
    expect(() => extracted(bytes)).toThrow(
      expect.objectContaining({ code: 'IGVM_MALFORMED', message: expect.stringContaining(message) }),
    );
  });

  it('is read or refused with an IgvmError after any damage', () => {
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
