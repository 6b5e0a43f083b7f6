/** What a target works on: the bytes, and a source of them that notices a read beyond its end. */
export class Input {
  /**
   * The bytes lie within a larger buffer, as those of a file read by Node often do: code that forgets where its view
   * begins finds other bytes than it should.
   */
  readonly bytes: Uint8Array;
  /** The first read that went beyond the end, even if the code under test caught the error. */
  outside: ReadOutside | undefined;

  constructor(bytes: Uint8Array) {
    const buffer = Buffer.alloc(bytes.length + 2 * SURROUNDINGS, 0xa5);
    buffer.set(bytes, SURROUNDINGS);
    this.bytes = new Uint8Array(buffer.buffer, buffer.byteOffset + SURROUNDINGS, bytes.length);
  }

  get size(): number {
    return this.bytes.length;
  }

  /** A byte source, as the product reads files. `bytes` by default are all. */
  source(bytes: Uint8Array = this.bytes): InputSource {
    return {
      size: bytes.length,
      read: (offset, target) => {
        const isWithin = Number.isInteger(offset) && offset >= 0 && offset + target.length <= bytes.length;
        if (!isWithin) {
          this.outside ??= new ReadOutside(`${target.length} bytes at ${offset} of a file of ${bytes.length}`);
          throw this.outside;
        }
        target.set(bytes.subarray(offset, offset + target.length));
      },
    };
  }
}

const SURROUNDINGS = 16;

/** The product's ByteSource, as far as a file is one. */
export interface InputSource {
  readonly size: number;
  read(offset: number, target: Uint8Array): void;
}

/** A read beyond the end of a file, which the product must never try. */
export class ReadOutside extends Error {
  override readonly name = 'ReadOutside';
}
