import { alignUp, PAGE_SIZE } from '../memory/page';

/** Where a file is written to. An output file of src/files is one; so is {@link memorySink}. */
export interface IgvmSink {
  /** Writes `bytes` at `offset`. They don't change until the promise settles; several writes may be under way. */
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
