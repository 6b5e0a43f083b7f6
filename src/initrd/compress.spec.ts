import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import * as zlib from 'node:zlib';
import { needing } from '../boot/needing.fixture';
import { compress } from './compress';
import type { Compression } from './load-initrd';

/** Bytes that look like text, the same in every run. */
function sample(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = 1;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    // Repeated text, between bytes that don't repeat.
    bytes[at] = at % 97 < 60 && at > 5000 ? (bytes[at - 4001] ?? 0) : 32 + ((state >>> 16) % 64);
  }
  return bytes;
}

async function compressed(pieces: Iterable<Uint8Array>, compression: Compression): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of compress(pieces, compression)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function* inPieces(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const { it: withZstd } = needing('zstd');

const unpack = {
  gzip: (bytes: Buffer) => zlib.gunzipSync(bytes),
  zstd: (bytes: Buffer) => execFileSync('zstd', ['-dcq'], { input: bytes, maxBuffer: 2 ** 26 }),
};

describe('compress', () => {
  // These digests are in users' lock files. A newer compressor with other output would be a change for users.
  withZstd.each<[keyof typeof unpack, string]>([
    ['gzip', '123afde36c1db27b2b80283d3c9951a32a6b65ce6574172f8d8b31e3b020576b'],
    ['zstd', 'bd625d81d95adcd7b2ac829951ae001e65aac5b46c1b1932392ade5dcf043f67'],
  ])('%s always gives the same bytes', async (compression, digest) => {
    const archive = sample(2 ** 20 + 17);
    const packed = await compressed([archive], compression);
    expect(unpack[compression](packed).equals(archive)).toBe(true);
    expect(createHash('sha256').update(packed).digest('hex')).toBe(digest);
    expect((await compressed(inPieces(archive, 333_333), compression)).equals(packed)).toBe(true);
  });

  it('gzip writes neither a time nor an operating system', async () => {
    const packed = await compressed([sample(100)], 'gzip');
    expect([...packed.subarray(0, 10)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
  });

  withZstd.each(['gzip', 'zstd'] as const)('%s handles incompressible data of any length', async (compression) => {
    for (const length of [0, 1, 2 ** 17, 2 ** 20 - 1, 2 ** 20, 2 ** 20 + 1]) {
      const archive = createHash('shake256', { outputLength: Math.max(1, length) })
        .update('seed')
        .digest()
        .subarray(0, length);
      expect(unpack[compression](await compressed([archive], compression)).equals(archive)).toBe(true);
    }
  });

  it('zstd keeps simultaneous archives apart, even if one is abandoned', async () => {
    const archives = [1, 2, 3].map((factor) => sample(2 ** 20 * factor + factor));
    const alone: Buffer[] = [];
    for (const archive of archives) alone.push(await compressed([archive], 'zstd'));
    const abandoned = (async () => {
      for await (const chunk of compress([archives[2] ?? Buffer.of()], 'zstd')) if (chunk.length >= 0) break;
    })();
    const together = await Promise.all(archives.map((archive) => compressed(inPieces(archive, 65_536), 'zstd')));
    await abandoned;
    expect(together.map((packed, index) => packed.equals(alone[index] ?? Buffer.of()))).toEqual([true, true, true]);
  });

  it('zstd writes one frame without a checksum', async () => {
    const packed = await compressed([sample(100)], 'zstd');
    // Frame header descriptor (RFC 8878, 3.1.1.1.1): bit 2 announces a checksum.
    expect((packed[4] ?? 0) & 4).toBe(0);
  });

  it.each<Compression>(['none', 'gzip', 'zstd'])('%s passes on an error of the archive', async (compression) => {
    const failing = (function* () {
      yield sample(10);
      throw new Error('gone');
    })();
    await expect(compressed(failing, compression)).rejects.toThrow('gone');
  });
});
