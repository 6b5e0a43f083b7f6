import { alignUp } from '../memory/page';
import type { ByteSource } from '../memory/byte-source';
import { IgvmError } from '../errors/igvm-error';
import type { Crc32 } from './hashes';
import type { StructBytes } from './headers/decode';
import { HEADER_ALIGNMENT, TYPE_AND_LENGTH_SIZE } from './headers/header-type';

/** Bytes that are read at once. A header is larger only if it is one that this version doesn't know. */
const WINDOW_SIZE = 256 * 1024;

/** CRC-32 of a part of a source, continuing from `seed`. */
export function crcOfRange(source: ByteSource, start: number, end: number, crc32: Crc32, seed: number): number {
  const window = new Uint8Array(Math.min(WINDOW_SIZE, end - start));
  let crc = seed;
  for (let at = start; at < end; at += window.length) {
    const part = window.subarray(0, end - at);
    source.read(at, part);
    crc = crc32(part, crc);
  }
  return crc;
}

/** Goes through the variable headers one by one and holds a bounded part of them. */
export class HeaderWindow {
  /** Offset in the file of the header that `next` returned last. */
  offset: number;
  private following: number;
  private window: Uint8Array;
  private view: DataView;
  private windowStart: number;
  private windowEnd: number;

  /** @param start and @param end of the variable headers in the source, checked by the caller */
  constructor(
    private readonly source: ByteSource,
    start: number,
    private readonly end: number,
  ) {
    this.offset = start;
    this.following = start;
    this.windowStart = start;
    this.windowEnd = start;
    this.window = new Uint8Array(Math.min(WINDOW_SIZE, end - start));
    this.view = new DataView(this.window.buffer);
  }

  /**
   * The next header, to be used before `next` is called again; undefined at the end.
   * @throws IgvmError IGVM_MALFORMED when it is cut off or its padding isn't zero
   */
  next(): StructBytes | undefined {
    this.offset = this.following;
    if (this.offset === this.end) return undefined;
    const head = this.hold(TYPE_AND_LENGTH_SIZE);
    const headerType = this.view.getUint32(head, true);
    const length = this.view.getUint32(head + 4, true);
    const padded = alignUp(length, HEADER_ALIGNMENT);
    const at = this.hold(TYPE_AND_LENGTH_SIZE + padded) + TYPE_AND_LENGTH_SIZE;
    for (let index = length; index < padded; index++) {
      if (this.window[at + index] !== 0) throw this.malformed('the padding of a header is not zero');
    }
    this.following = this.offset + TYPE_AND_LENGTH_SIZE + padded;
    return { headerType, view: this.view, at, length };
  }

  /** Makes sure that `size` bytes from the current header on are in the window; returns where they begin in it. */
  private hold(size: number): number {
    if (this.offset + size > this.end) throw this.malformed('a header goes beyond the end of the variable headers');
    if (this.offset + size > this.windowEnd) {
      if (size > this.window.length) {
        this.window = new Uint8Array(size);
        this.view = new DataView(this.window.buffer);
      }
      this.windowStart = this.offset;
      this.windowEnd = Math.min(this.offset + this.window.length, this.end);
      this.source.read(this.offset, this.window.subarray(0, this.windowEnd - this.offset));
    }
    return this.offset - this.windowStart;
  }

  private malformed(message: string): IgvmError {
    return new IgvmError('IGVM_MALFORMED', message, { offset: this.offset });
  }
}
