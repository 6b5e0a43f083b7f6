import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import { checkFileSize, FileDataWriter, memorySink } from './file-data';

const START = 1000;
const MEBI = 2 ** 20;

/** A sink that keeps what is written to it. The test decides when its promises settle. */
function heldSink() {
  const memory = memorySink();
  const writes: { offset: number; bytes: Uint8Array; settle(): void }[] = [];
  return {
    writes,
    read: memory.read,
    bytes: memory.bytes,
    write: (offset: number, bytes: Uint8Array) =>
      new Promise<void>((resolve) => {
        const settle = (): void => void memory.write(offset, bytes).then(resolve);
        writes.push({ offset, bytes, settle });
      }),
  };
}

const counting = (size: number, first = 0): Uint8Array => new Uint8Array(size).map((_, index) => first + index);

describe('FileDataWriter', () => {
  it('appends from its start offset on', async () => {
    const sink = memorySink();
    const data = new FileDataWriter(sink, START);
    expect(data.append(counting(30), 0, 30)).toBe(START);
    expect(data.append(counting(20), 5, 10)).toBe(START + 30);
    expect(data.end).toBe(START + 40);
    await data.finish();
    expect(sink.bytes().subarray(START)).toEqual(Uint8Array.of(...counting(30), ...counting(10, 5)));
  });

  it('reads back appended bytes, whether they are buffered, in flight or in the sink', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            size: fc.oneof(fc.nat(5000), fc.integer({ min: 60_000, max: 70_000 }), fc.constant(200_000)),
            isNext: fc.boolean(),
            settles: fc.boolean(),
            delay: fc.nat(2),
          }),
          { minLength: 1, maxLength: 8 },
        ),
        fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })), {
          maxLength: 3,
        }),
        async (steps, places) => {
          const memory = memorySink();
          const slow = {
            read: memory.read,
            async write(offset: number, bytes: Uint8Array) {
              await setTimeout((offset + bytes.length) % 3);
              await memory.write(offset, bytes);
            },
          };
          const data = new FileDataWriter(slow, START);
          const expected = counting(steps.reduce((sum, { size }) => sum + size, 0)).map((byte, at) => byte ^ (at >> 8));
          const check = (): void => {
            for (const [first, second] of places) {
              const from = Math.floor(Math.min(first, second) * (data.end - START));
              const read = new Uint8Array(Math.ceil(Math.max(first, second) * (data.end - START)) - from);
              data.read(START + from, read);
              expect(Buffer.compare(read, expected.subarray(from, from + read.length))).toBe(0);
            }
          };
          for (const { size, isNext, settles, delay } of steps) {
            const at = data.end - START;
            const buffer = isNext ? expected : expected.slice(at, at + size);
            data.append(buffer, isNext ? at : 0, size);
            check();
            if (settles) await data.settle();
            if (delay > 0) await setTimeout(delay - 1);
            check();
          }
          await data.finish();
          check();
          expect(Buffer.compare(memory.bytes().subarray(START), expected)).toBe(0);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('passes many bytes of one buffer to the sink in one write, without a copy', () => {
    const sink = heldSink();
    const data = new FileDataWriter(sink, START);
    const buffer = counting(100_000);
    data.append(buffer, 10, 50_000);
    data.append(buffer, 50_010, 15_536);
    void data.settle();
    expect(sink.writes).toMatchObject([{ offset: START, bytes: { length: 65_536, byteOffset: 10 } }]);
    expect(sink.writes[0]?.bytes.buffer).toBe(buffer.buffer);
  });

  it('makes the caller wait only while the sink uses its buffer', async () => {
    const sink = heldSink();
    const data = new FileDataWriter(sink, START);
    data.append(counting(65_535), 0, 65_535);
    expect(data.settle()).toBeUndefined();
    data.append(counting(65_536), 0, 65_536);
    let isOver = false;
    const over = data.settle()?.then(() => (isOver = true));
    expect(over).toBeDefined();
    expect(data.settle()).toBeUndefined();
    expect(sink.writes).toMatchObject([
      { offset: START, bytes: { length: 65_535 } },
      { offset: START + 65_535, bytes: { length: 65_536 } },
    ]);
    sink.writes[0]?.settle();
    await setTimeout(5);
    expect(isOver).toBe(false);
    sink.writes[1]?.settle();
    await over;
    expect(isOver).toBe(true);
  });

  it('gathers short pieces into writes of up to 1 MiB', async () => {
    const sink = heldSink();
    const data = new FileDataWriter(sink, 0);
    const piece = counting(MEBI / 32);
    for (let count = 0; count < 33; count++) {
      data.append(piece, 0, piece.length);
      expect(data.settle()).toBeUndefined();
    }
    expect(sink.writes).toMatchObject([{ offset: 0, bytes: { length: MEBI } }]);
    const finished = data.finish();
    expect(sink.writes[1]).toMatchObject({ offset: MEBI, bytes: { length: piece.length } });
    for (const write of sink.writes) write.settle();
    await finished;
    expect(sink.bytes()).toHaveLength(MEBI + piece.length);
  });

  it('makes the caller wait while four gathered writes are pending, until the oldest is done', async () => {
    const sink = heldSink();
    const data = new FileDataWriter(sink, 0);
    const piece = counting(60_000);
    let waits: Promise<void> | undefined;
    while (waits === undefined && sink.writes.length < 10) {
      data.append(piece, 0, piece.length);
      waits = data.settle();
    }
    expect(sink.writes).toHaveLength(4);
    sink.writes[0]?.settle();
    await waits;
    data.append(piece, 0, piece.length);
    expect(data.settle()).toBeUndefined();
  });

  it('fails when the sink fails: where the caller waits, and at the end', async () => {
    const broken = { ...memorySink(), write: () => Promise.reject(new Error('disk full')) };
    const direct = new FileDataWriter(broken, 0);
    direct.append(counting(MEBI), 0, MEBI);
    await expect(direct.settle()).rejects.toThrow('disk full');
    expect(() => direct.settle()).toThrow('disk full');
    const gathered = new FileDataWriter(broken, 0);
    gathered.append(counting(10), 0, 10);
    await expect(gathered.finish()).rejects.toThrow('disk full');
  });

  it('refuses to grow beyond 32-bit offsets', () => {
    const data = new FileDataWriter(memorySink(), 0xffff_ffff - 10);
    expect(() => data.append(counting(11), 0, 11)).toThrow(expect.objectContaining({ code: 'IGVM_TOO_LARGE' }));
    expect(data.append(counting(10), 0, 10)).toBe(0xffff_ffff - 10);
    expect(() => checkFileSize(0xffff_ffff)).not.toThrow();
    expect(() => checkFileSize(0x1_0000_0000)).toThrow(expect.objectContaining({ code: 'IGVM_TOO_LARGE' }));
  });
});

describe('memorySink', () => {
  it('keeps what is written in any order, with zeros between, up to the furthest byte', async () => {
    const sink = memorySink();
    expect(sink.bytes()).toEqual(new Uint8Array(0));
    await sink.write(4, Uint8Array.of(5, 6));
    await sink.write(0, Uint8Array.of(1, 2));
    expect(sink.bytes()).toEqual(Uint8Array.of(1, 2, 0, 0, 5, 6));
  });

  it('returns a part of it', async () => {
    const sink = memorySink();
    await sink.write(0, Uint8Array.of(1, 2, 3, 4, 5));
    const part = new Uint8Array(2);
    sink.read(2, part);
    expect(part).toEqual(Uint8Array.of(3, 4));
  });

  it('grows to the last written byte in few steps, and loses nothing', async () => {
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
