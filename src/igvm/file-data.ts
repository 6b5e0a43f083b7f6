import { IgvmError } from '../errors/igvm-error';
import { alignUp, PAGE_SIZE } from '../memory/page';
import type { StoredBytes } from './page-index';

/** Where a file is written to: an output file of src/files, or {@link memorySink}. */
export interface IgvmSink {
  /** Writes `bytes` at `offset`. They must not change until the promise settles. Several writes may be in progress. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Fills `target` with what was written at `offset`; those writes have settled. */
  read(offset: number, target: Uint8Array): void;
}

/** A sink that keeps the file in memory. */
export interface MemorySink extends IgvmSink {
  /** What was written so far, from offset 0 to the furthest byte. */
  bytes(): Uint8Array;
}

/** For tests, browsers and small files. */
export function memorySink(): MemorySink {
  let buffer = new Uint8Array(16 * PAGE_SIZE);
  let size = 0;
  return {
    async write(offset, bytes) {
      const end = offset + bytes.length;
      if (end > buffer.length) {
        const larger = new Uint8Array(alignUp(Math.max(end, 2 * buffer.length), PAGE_SIZE));
        larger.set(buffer);
        buffer = larger;
      }
      buffer.set(bytes, offset);
      size = Math.max(size, end);
    },
    read: (offset, target) => target.set(buffer.subarray(offset, offset + target.length)),
    bytes: () => buffer.subarray(0, size),
  };
}

/** Sizes and offsets in the file are 32 bits. */
const MOST_FILE_BYTES = 0xffff_ffff;

/** Short stretches are gathered in buffers of this size. */
const BUFFER_SIZE = 1024 * 1024;

/**
 * Stretches of at least this size are written from the caller's buffer: copying them would cost more than a separate
 * write.
 */
const DIRECT_SIZE = 64 * 1024;

/** Gathered buffers that may be in flight before the caller has to wait. */
const BUFFERS_IN_FLIGHT = 3;

/** Bytes that are not in the sink yet. */
interface Held {
  readonly start: number;
  readonly bytes: Uint8Array;
}

/**
 * The growing file data. It is written in the background and can be read back at any time. Bytes that are appended from
 * one buffer without a gap form a stretch, which is written in one call.
 */
export class FileDataWriter implements StoredBytes {
  end: number;
  private stretch: { start: number; buffer: Uint8Array; from: number; to: number } | undefined;
  private gathered: { start: number; buffer: Uint8Array; used: number } | undefined;
  private readonly spareBuffers: Uint8Array[] = [];
  private readonly inFlight: (Held & { settled: Promise<void> })[] = [];
  private gatheredInFlight = 0;
  /** Writes of the caller's buffers since the last `settle`. */
  private direct: Promise<void>[] = [];
  private failure: { error: unknown } | undefined;

  /** @param start offset of the first byte in the file */
  constructor(
    private readonly sink: IgvmSink,
    start: number,
  ) {
    this.end = start;
  }

  /**
   * Appends `size` bytes of a buffer and returns their offset. They must not change until {@link settle} allows it.
   * @throws IgvmError IGVM_TOO_LARGE
   */
  append(buffer: Uint8Array, at: number, size: number): number {
    const offset = this.end;
    checkFileSize(offset + size);
    if (this.stretch?.buffer === buffer && this.stretch.to === at) {
      this.stretch.to += size;
    } else {
      this.endStretch();
      this.stretch = { start: offset, buffer, from: at, to: at + size };
    }
    this.end = offset + size;
    return offset;
  }

  /**
   * Releases the caller's buffers. Returns undefined if they are free already, otherwise a promise to await before they
   * change. This also slows the caller down when the sink can't keep up.
   */
  settle(): Promise<void> | undefined {
    this.endStretch();
    this.check();
    const pending = this.direct;
    this.direct = [];
    if (this.gatheredInFlight > BUFFERS_IN_FLIGHT && this.inFlight[0] !== undefined)
      pending.push(this.inFlight[0].settled);
    return pending.length === 0 ? undefined : Promise.all(pending).then(() => this.check());
  }

  read(offset: number, target: Uint8Array): void {
    for (let done = 0; done < target.length; ) {
      const at = offset + done;
      const rest = target.subarray(done);
      const held = this.held();
      const found = held.find(({ start, bytes }) => start <= at && at < start + bytes.length);
      if (found === undefined) {
        const next = held.reduce((nearest, { start }) => (start > at ? Math.min(nearest, start) : nearest), Infinity);
        const written = rest.subarray(0, next - at);
        this.sink.read(at, written);
        done += written.length;
      } else {
        const part = found.bytes.subarray(at - found.start, at - found.start + rest.length);
        rest.set(part);
        done += part.length;
      }
    }
  }

  /** Writes what is held and waits until everything is written. */
  async finish(): Promise<void> {
    this.endStretch();
    this.flush();
    await this.settled();
    this.check();
  }

  /** Waits for the writes in progress, whether they fail or not. */
  async settled(): Promise<void> {
    await Promise.all(this.inFlight.map(({ settled }) => settled));
  }

  private endStretch(): void {
    if (this.stretch === undefined) return;
    const { start, buffer, from, to } = this.stretch;
    this.stretch = undefined;
    if (to - from < DIRECT_SIZE) {
      this.gather(start, buffer.subarray(from, to));
    } else {
      this.flush();
      this.direct.push(this.write({ start, bytes: buffer.subarray(from, to) }));
    }
  }

  private gather(start: number, bytes: Uint8Array): void {
    if (this.gathered !== undefined && this.gathered.used + bytes.length > BUFFER_SIZE) this.flush();
    this.gathered ??= { start, buffer: this.spareBuffers.pop() ?? new Uint8Array(BUFFER_SIZE), used: 0 };
    this.gathered.buffer.set(bytes, this.gathered.used);
    this.gathered.used += bytes.length;
  }

  private flush(): void {
    if (this.gathered === undefined) return;
    const { start, buffer, used } = this.gathered;
    this.gathered = undefined;
    this.gatheredInFlight++;
    void this.write({ start, bytes: buffer.subarray(0, used) }).then(() => {
      this.gatheredInFlight--;
      this.spareBuffers.push(buffer);
    });
  }

  /** The promise never rejects; `check` throws. */
  private write(held: Held): Promise<void> {
    const settled = this.sink
      .write(held.start, held.bytes)
      .catch((error: unknown) => void (this.failure ??= { error }))
      .then(() => void this.inFlight.splice(this.inFlight.indexOf(entry), 1));
    const entry = { ...held, settled };
    this.inFlight.push(entry);
    return settled;
  }

  private check(): void {
    if (this.failure !== undefined) throw this.failure.error;
  }

  private held(): Held[] {
    const held: Held[] = [...this.inFlight];
    if (this.gathered !== undefined) {
      held.push({ start: this.gathered.start, bytes: this.gathered.buffer.subarray(0, this.gathered.used) });
    }
    if (this.stretch !== undefined) {
      held.push({ start: this.stretch.start, bytes: this.stretch.buffer.subarray(this.stretch.from, this.stretch.to) });
    }
    return held;
  }
}

/** @throws IgvmError IGVM_TOO_LARGE when a file of `size` bytes can't be described */
export function checkFileSize(size: number): void {
  if (size > MOST_FILE_BYTES) {
    throw new IgvmError('IGVM_TOO_LARGE', 'the image needs more than the 4 GiB that the format can address');
  }
}
