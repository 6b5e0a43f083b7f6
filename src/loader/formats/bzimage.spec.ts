import { IgvmError } from '../../errors/igvm-error';
import { bytesSource } from '../../memory/byte-source';
import { isBzImage, readBzImage, SETUP_HEADER_END } from './bzimage';
import { type BzImageFields, bytes, bzImageFile } from './kernel.fixture';

const code = bytes(0x2000, 1);
const read = (file: Uint8Array) => readBzImage(bytesSource(file), 'kernel');

function failure(file: Uint8Array): IgvmError {
  try {
    read(file);
  } catch (error) {
    if (error instanceof IgvmError) return error;
    throw error;
  }
  throw new Error('no failure');
}

describe('isBzImage', () => {
  it('checks both magic numbers, and needs the whole header', () => {
    const file = bzImageFile(code);
    expect(isBzImage(bytesSource(file))).toBe(true);
    expect(isBzImage(bytesSource(file.subarray(0, SETUP_HEADER_END)))).toBe(true);
    for (let size = 0; size < SETUP_HEADER_END; size++) {
      expect(isBzImage(bytesSource(file.subarray(0, size)))).toBe(false);
    }
    expect(isBzImage(bytesSource(bzImageFile(code, { boot_flag: 0xaa54 })))).toBe(false);
    expect(isBzImage(bytesSource(bzImageFile(code, { header: 0x53726449 })))).toBe(false);
  });
});

describe('readBzImage', () => {
  it('reads what a loader needs', () => {
    const file = bzImageFile(code);
    expect(read(file)).toEqual({
      setupHeader: file.subarray(0x1f1, 0x268),
      payloadOffset: 1024,
      payloadSize: 0x2000,
      entryOffset: 0x200,
      preferredAddress: 0x1000000n,
      initSize: 0x300000,
      commandLineSize: 2047,
    });
  });

  it('treats 0 setup sectors as 4', () => {
    expect(read(bzImageFile(code, { setup_sects: 0 })).payloadOffset).toBe(5 * 512);
  });

  it("uses the rest of the file if the code's size is 0, and otherwise that size", () => {
    const odd = bytes(0x2001, 1);
    expect(read(bzImageFile(odd, { syssize: 0 })).payloadSize).toBe(0x2001);
    expect(read(bzImageFile(odd, { syssize: 0x21 })).payloadSize).toBe(0x210);
    expect(read(bzImageFile(code, { syssize: 0xffffffff })).payloadSize).toBe(0xffffffff * 16);
  });

  it('may lack any of the last 16 bytes, but none before', () => {
    for (const missing of [1, 15])
      expect(read(bzImageFile(code.subarray(missing), { syssize: 0x200 })).payloadSize).toBe(0x2000 - missing);
    expect(read(bzImageFile(code.subarray(16), { syssize: 0x200 })).payloadSize).toBe(0x2000);
  });

  it.each<[string, Partial<BzImageFields>, string, number]>([
    ['without boot flag', { boot_flag: 0 }, 'not a bzImage', 0x1fe],
    ['without "HdrS"', { header: 0 }, 'not a bzImage', 0x1fe],
    ['of boot protocol 2.11', { version: 0x020b }, 'boot protocol 2.11, and 2.12', 0x206],
    ['that is a zImage', { loadflags: 0xfe }, 'zImage', 0x211],
    ['for 32 bits', { xloadflags: 0xfffe }, 'no 64-bit entry point', 0x236],
    ['with no code after its entry point', { syssize: 0x20 }, '512 bytes of code do not reach', 0x1f4],
  ])('rejects a kernel %s', (_name, fields, message, offset) => {
    const error = failure(bzImageFile(code, fields));
    expect([error.code, error.where.offset]).toEqual(['KERNEL_INVALID', offset]);
    expect(error.message).toContain(message);
  });

  it('rejects a file that ends in the header or the setup code', () => {
    expect(failure(bzImageFile(code).subarray(0, 0x267)).message).toContain('too short');
    const setupOnly = bzImageFile(code, { setup_sects: 27, syssize: 0 }).subarray(0, 0x1000);
    expect(failure(setupOnly).message).toContain('0 bytes of code do not reach');
  });
});
