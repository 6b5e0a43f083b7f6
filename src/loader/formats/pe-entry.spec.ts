import { peImage, teImage } from './firmware.fixture';
import { peEntryPoint } from './firmware-volume';

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

describe('peEntryPoint', () => {
  it('follows the DOS header to the PE header', () => {
    expect(peEntryPoint(view(peImage(0x1a40)))).toBe(0x1a40);
  });

  it('takes a PE image without a DOS header', () => {
    expect(peEntryPoint(view(peImage(0x99).subarray(0x80)))).toBe(0x99);
  });

  it('takes a TE image', () => {
    expect(peEntryPoint(view(teImage(0x300, 0x228)))).toBe(0x300 + 40 - 0x228);
  });

  it('counts modulo 2^32 where a TE image starts in what was stripped', () => {
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
