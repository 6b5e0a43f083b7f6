import { memorySink } from './sink';

describe('memorySink', () => {
  it('keeps what is written in any order, with zeros between, up to the furthest byte', async () => {
    const sink = memorySink();
    expect(sink.bytes()).toEqual(new Uint8Array(0));
    await sink.write(4, Uint8Array.of(5, 6));
    await sink.write(0, Uint8Array.of(1, 2));
    expect(sink.bytes()).toEqual(Uint8Array.of(1, 2, 0, 0, 5, 6));
  });

  it('gives back a part of it', async () => {
    const sink = memorySink();
    await sink.write(0, Uint8Array.of(1, 2, 3, 4, 5));
    const part = new Uint8Array(2);
    sink.read(2, part);
    expect(part).toEqual(Uint8Array.of(3, 4));
  });

  it('grows as far as it is written to and loses nothing, in few steps', async () => {
    const sink = memorySink();
    const piece = new Uint8Array(1000).map((_, index) => index);
    const buffers = new Set<ArrayBufferLike>();
    for (let at = 0; at < 2_000_000; at += piece.length) {
      await sink.write(at, piece);
      buffers.add(sink.bytes().buffer);
    }
    await sink.write(10_000_000, piece);
    const bytes = sink.bytes();
    expect(bytes).toHaveLength(10_001_000);
    for (let at = 0; at < 2_000_000; at += piece.length) {
      expect(Buffer.compare(bytes.subarray(at, at + piece.length), piece)).toBe(0);
    }
    expect(Buffer.compare(bytes.subarray(10_000_000), piece)).toBe(0);
    expect(buffers.size).toBeLessThan(10);
  });
});
