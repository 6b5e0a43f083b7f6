import { bytesSource } from '../../memory/byte-source';
import { peEntryPoint, secEntryPointOffset } from './firmware-volume';
import {
  FILE_TYPE,
  firmwareFile,
  firmwareVolume,
  peImage,
  section,
  SECTION_TYPE,
  STARTABLE_ENTRY,
  STARTABLE_FIRMWARE,
  teImage,
  x64Firmware,
} from './firmware.fixture';

const start = 0x5e0000 + 0x48;

describe('secEntryPointOffset', () => {
  it('finds the entry point of a PE image in the security core', () => {
    expect(secEntryPointOffset(STARTABLE_FIRMWARE)).toBe(STARTABLE_ENTRY);
  });

  it('skips other files, each at a multiple of 8, and other sections, each at a multiple of 4', () => {
    const pad = firmwareFile(FILE_TYPE.PAD, new Uint8Array(37));
    const core = firmwareFile(
      FILE_TYPE.SECURITY_CORE,
      section(SECTION_TYPE.RAW, new Uint8Array(35)),
      section(SECTION_TYPE.PE32, peImage(0x40)),
    );
    const image = x64Firmware(firmwareVolume(pad, core));
    expect(secEntryPointOffset(image)).toBe(start + 64 + 24 + 40 + 4 + 0x40);
  });

  it('counts the headers that were stripped from a TE image', () => {
    const core = firmwareFile(FILE_TYPE.SECURITY_CORE, section(SECTION_TYPE.PE32, teImage(0x2340, 0x228)));
    expect(secEntryPointOffset(x64Firmware(firmwareVolume(core)))).toBe(start + 24 + 4 + 0x2340 + 40 - 0x228);
  });

  it('uses the data after the last section if there is no PE32 section, as upstream does', () => {
    const core = firmwareFile(FILE_TYPE.SECURITY_CORE, section(SECTION_TYPE.RAW, new Uint8Array(40)));
    expect(secEntryPointOffset(x64Firmware(firmwareVolume(core)))).toBe(start + 24 + 44);
  });

  const core = firmwareFile(FILE_TYPE.SECURITY_CORE, section(SECTION_TYPE.PE32, peImage(0x1234)));
  const broken: [string, () => Uint8Array][] = [
    ['without a volume', () => new Uint8Array(0x20000)],
    ['without a security core', () => firmwareVolume(firmwareFile(FILE_TYPE.RAW, new Uint8Array(8)))],
    ['with an empty volume', () => zeroed(firmwareVolume(core), 32, 8)],
    ['with a file of size 0', () => zeroed(firmwareVolume(firmwareFile(FILE_TYPE.RAW), core), 0x48 + 20, 3)],
    [
      'with a section of size 0',
      () => zeroed(firmwareVolume(firmwareFile(FILE_TYPE.SECURITY_CORE, new Uint8Array(80))), 0x48 + 24, 80),
    ],
    [
      'with files beyond its end',
      () => patched(firmwareVolume(firmwareFile(FILE_TYPE.RAW), core), 0x48 + 20, 0xffffff),
    ],
    ['whose PE header lies outside', () => patched(firmwareVolume(core), 0x48 + 24 + 4 + 0x3c, 0x7fffffff)],
    ['whose PE header lacks its signature', () => zeroed(firmwareVolume(core), 0x48 + 24 + 4 + 0x80, 4)],
  ];
  it.each(broken)('rejects firmware %s', (_, volume) => {
    expect(() => secEntryPointOffset(x64Firmware(volume()))).toThrow(
      expect.objectContaining({ name: 'IgvmError', code: 'FIRMWARE_INVALID' }) as Error,
    );
  });

  it('rejects an image that ends before the volume, or within a header of it', () => {
    expect(() => secEntryPointOffset(bytesSource(new Uint8Array(0x1000)))).toThrow(/ends before/);
    expect(() => secEntryPointOffset(bytesSource(new Uint8Array(0x5e0000 + 55)))).toThrow(
      /the SEC volume header lies beyond the end of the image/,
    );
    const large = patched(firmwareVolume(firmwareFile(FILE_TYPE.RAW), core), 0x48 + 20, 0xffffff);
    new DataView(large.buffer).setBigUint64(32, 1n << 40n, true);
    expect(() => secEntryPointOffset(x64Firmware(large))).toThrow(/a file header of the SEC volume lies beyond/);
  });
});

function zeroed(bytes: Uint8Array, offset: number, size: number): Uint8Array {
  bytes.fill(0, offset, offset + size);
  return bytes;
}

function patched(bytes: Uint8Array, offset: number, value: number): Uint8Array {
  new DataView(bytes.buffer).setUint32(offset, value, true);
  return bytes;
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

describe('peEntryPoint', () => {
  it('follows the DOS header to the PE header', () => {
    expect(peEntryPoint(view(peImage(0x1a40)))).toBe(0x1a40);
  });

  it('accepts a PE image without a DOS header', () => {
    expect(peEntryPoint(view(peImage(0x99).subarray(0x80)))).toBe(0x99);
  });

  it('accepts a TE image', () => {
    expect(peEntryPoint(view(teImage(0x300, 0x228)))).toBe(0x300 + 40 - 0x228);
  });

  it('computes modulo 2^32 if a TE image starts in the stripped headers', () => {
    expect(peEntryPoint(view(teImage(0, 0x228)))).toBe(2 ** 32 + 40 - 0x228);
  });

  it.each([
    ['too short', new Uint8Array(63)],
    ['neither PE nor TE', new Uint8Array(300)],
    ['cut off in its headers', peImage(1).subarray(0, 0x80 + 100)],
  ])('rejects an image that is %s', (_, bytes) => {
    expect(() => peEntryPoint(view(bytes))).toThrow(expect.objectContaining({ code: 'FIRMWARE_INVALID' }) as Error);
  });

  it('rejects a PE header before the image', () => {
    const bytes = peImage(1);
    view(bytes).setInt32(0x3c, -4, true);
    expect(() => peEntryPoint(view(bytes))).toThrow(expect.objectContaining({ code: 'FIRMWARE_INVALID' }) as Error);
  });
});
