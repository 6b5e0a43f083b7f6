/** The input of a target: the bytes, and a source that detects reads beyond its end. */
export class Input {
  /**
   * The bytes are inside a larger buffer, as those of a file that Node reads often are. Code that forgets the offset of its view
   * reads other bytes.
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

  /** A byte source, as the product reads files. Default of `bytes`: all. */
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

/** The part of the product's ByteSource that files have. */
export interface InputSource {
  readonly size: number;
  read(offset: number, target: Uint8Array): void;
}

/** A read beyond the end of a file, which the product must never try. */
export class ReadOutside extends Error {
  override readonly name = 'ReadOutside';
}
