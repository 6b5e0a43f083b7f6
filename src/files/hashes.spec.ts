import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bytesSource } from '../memory/byte-source';
import { crc32, sha256Hex, sha256OfFile, sha256OfOpenFile, sha256OfSource } from './hashes';

/** The number of bytes that are hashed at once. */
const CHUNK = 2 ** 20;

const expectedOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('the SHA-256', () => {
  let folder: string;
  beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'nx-igvm-sha256-'))));
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each([
    ['nothing', 0],
    ['a byte', 1],
    ['a chunk', CHUNK],
    ['a chunk and a byte', CHUNK + 1],
    ['several chunks', 3 * CHUNK + 100],
  ])('of %s is the same for a source and for a file', (_, size) => {
    const bytes = new Uint8Array(size).map((_byte, index) => index % 251);
    const path = join(folder, 'file');
    writeFileSync(path, bytes);
    const expected = expectedOf(bytes);
    expect(sha256OfSource(bytesSource(bytes))).toBe(expected);
    expect(sha256OfFile(path)).toBe(expected);
  });

  it('of an open file starts at the current position', () => {
    const path = join(folder, 'file');
    writeFileSync(path, 'skipped, hashed');
    const file = openSync(path, 'r');
    try {
      readSync(file, new Uint8Array(9));
      expect(sha256OfOpenFile(file, 1000)).toBe(expectedOf(Buffer.from('hashed')));
    } finally {
      closeSync(file);
    }
  });

  it('fails with the error of reading', () => {
    const broken = new Error('the disk is gone');
    const source = {
      size: 1,
      read() {
        throw broken;
      },
    };
    expect(() => sha256OfSource(source)).toThrow(broken);
    expect(() => sha256OfFile(join(folder, 'missing'))).toThrow('ENOENT');
  });
});

describe('the hashes for IGVM files', () => {
  it('have the standard values, and a CRC can be continued', () => {
    const bytes = Buffer.from('123456789');
    expect(crc32(bytes)).toBe(0xcbf43926);
    expect(crc32(bytes.subarray(4), crc32(bytes.subarray(0, 4)))).toBe(0xcbf43926);
    expect(sha256Hex(new Uint8Array(0))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  });
});
