/** Why data can't be unpacked; the caller knows whose data it is. */
export class UnpackError extends Error {}

/** Reads a stream of bytes in pieces of the sizes that a format has, without holding more than a piece. */
export class ByteReader {
  private readonly source: AsyncIterator<Uint8Array>;
  private rest: Uint8Array = new Uint8Array(0);
  /** Bytes that have been read. */
  position = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.source = source[Symbol.asyncIterator]();
  }

  /** Up to `size` bytes that stay to be read: fewer at the end. For small sizes. */
  async peek(size: number): Promise<Uint8Array> {
    while (this.rest.length < size) {
      const { done, value } = await this.source.next();
      if (done === true) break;
      this.rest = this.rest.length === 0 ? value : Buffer.concat([this.rest, value]);
    }
    return this.rest.subarray(0, size);
  }

  /** Exactly `size` bytes. For small sizes. @throws UnpackError when there are fewer */
  async read(size: number): Promise<Buffer> {
    const bytes = await this.peek(size);
    if (bytes.length < size) throw endsEarly();
    this.rest = this.rest.subarray(size);
    this.position += size;
    return Buffer.from(bytes);
  }

  /** The next `size` bytes as they come, which all have to be taken. @throws UnpackError when there are fewer */
  async *take(size: number): AsyncGenerator<Uint8Array> {
    for (let left = size; left > 0; ) {
      if (this.rest.length === 0 && (await this.peek(1)).length === 0) throw endsEarly();
      const part = this.rest.subarray(0, left);
      this.rest = this.rest.subarray(part.length);
      this.position += part.length;
      left -= part.length;
      yield part;
    }
  }

  /** @throws UnpackError when there are fewer bytes */
  async skip(size: number): Promise<void> {
    const taken = this.take(size);
    while ((await taken.next()).done !== true);
  }

  /** Everything that is left. */
  async *remaining(): AsyncGenerator<Uint8Array> {
    if (this.rest.length > 0) yield this.rest;
    for (;;) {
      const { done, value } = await this.source.next();
      if (done === true) return;
      yield value;
    }
  }

  /** Gives the source up. */
  async close(): Promise<void> {
    await this.source.return?.();
  }
}

const endsEarly = (): UnpackError => new UnpackError('ends early');
