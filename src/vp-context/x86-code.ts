import { unreachable } from '../errors/igvm-error';

/** The place of a forward jump's displacement, which is filled in later. */
export interface PendingJump {
  readonly at: number;
}

/**
 * Writes x86 machine code into a page, front to back, and computes relative displacements of jumps and operands in the
 * page. Offsets are bytes from the page's start.
 */
export class X86Code {
  private readonly view: DataView;

  constructor(
    private readonly page: Uint8Array,
    /** Offset of the next instruction. */
    public offset: number,
  ) {
    this.view = new DataView(page.buffer, page.byteOffset, page.length);
  }

  /** Appends bytes unchanged. */
  emit(...bytes: number[]): this {
    this.page.set(bytes, this.offset);
    this.offset += bytes.length;
    return this;
  }

  /** Appends an instruction's opcode and a 32-bit immediate or absolute address. */
  withImmediate(opcode: readonly number[], value: number): this {
    this.emit(...opcode);
    this.view.setUint32(this.offset, value, true);
    this.offset += 4;
    return this;
  }

  /**
   * Appends an instruction whose last four bytes are the distance from its end to `target`: a near jump, or one with a
   * RIP-relative operand.
   */
  withRelative(opcode: readonly number[], target: number): this {
    return this.withImmediate(opcode, target - (this.offset + opcode.length + 4));
  }

  /** Appends a two-byte jump back to `target`, an offset at most 126 bytes before the jump. */
  jumpBack(opcode: number, target: number): this {
    this.emit(opcode, 0);
    const distance = target - this.offset;
    if (distance < -128 || distance > 0) unreachable(`a short jump of ${distance} bytes back`);
    this.view.setInt8(this.offset - 1, distance);
    return this;
  }

  /** Appends a two-byte jump forward; `land` sets its target. */
  jumpAhead(opcode: number): PendingJump {
    this.emit(opcode, 0);
    return { at: this.offset };
  }

  /** Makes the next instruction the target of `jump`. */
  land(jump: PendingJump): this {
    const distance = this.offset - jump.at;
    if (distance < 0 || distance > 127) unreachable(`a short jump of ${distance} bytes ahead`);
    this.view.setInt8(jump.at - 1, distance);
    return this;
  }
}

/** Opcodes of the two-byte conditional jumps used here. */
export const JUMP = {
  ifBelow: 0x72,
  ifCarry: 0x72,
  ifZero: 0x74,
  ifNotEqual: 0x75,
  ifNotZero: 0x75,
  ifNotAbove: 0x76,
  always: 0xeb,
};
