import { unreachable } from '../errors/igvm-error';

/** Writes the fields of a C structure one after the other, little-endian and without padding. */
export class StructWriter {
  private bytes = new Uint8Array(256);
  private view = new DataView(this.bytes.buffer);
  private used = 0;

  /** Bytes written so far: the offset of the next field. */
  get length(): number {
    return this.used;
  }

  u8(...values: number[]): this {
    for (const value of values) {
      const at = this.growFor(value, 1);
      this.view.setUint8(at, value);
    }
    return this;
  }

  u16(...values: number[]): this {
    for (const value of values) {
      const at = this.growFor(value, 2);
      this.view.setUint16(at, value, true);
    }
    return this;
  }

  u32(...values: number[]): this {
    for (const value of values) {
      const at = this.growFor(value, 4);
      this.view.setUint32(at, value, true);
    }
    return this;
  }

  /** Also for signed fields: a negative number is written in two's complement. */
  u64(...values: (number | bigint)[]): this {
    for (const value of values) {
      const at = this.grow(8);
      this.view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
    }
    return this;
  }

  raw(bytes: Uint8Array): this {
    const at = this.grow(bytes.length);
    this.bytes.set(bytes, at);
    return this;
  }

  /** The characters' codes, one byte each. */
  ascii(text: string): this {
    for (let i = 0; i < text.length; i++) this.u8(text.charCodeAt(i));
    return this;
  }

  zeros(count: number): this {
    this.grow(count);
    return this;
  }

  /** The bytes written so far, as a copy. */
  finish(): Uint8Array {
    return this.bytes.slice(0, this.used);
  }

  /** Makes room for an unsigned field; may replace the view. @returns its offset */
  private growFor(value: number, size: 1 | 2 | 4): number {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * size)) {
      unreachable(`${value} in a field of ${size} bytes`);
    }
    return this.grow(size);
  }

  private grow(count: number): number {
    const at = this.used;
    this.used += count;
    if (this.used > this.bytes.length) {
      const larger = new Uint8Array(Math.max(this.used, this.bytes.length * 2));
      larger.set(this.bytes);
      this.bytes = larger;
      this.view = new DataView(larger.buffer);
    }
    return at;
  }
}
