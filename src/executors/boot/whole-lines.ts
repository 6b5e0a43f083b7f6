import { Writable } from 'node:stream';

/** Milliseconds after which a line without an end is a prompt, and worth showing. */
const PROMPT_AFTER = 500;

const NEWLINE = 0x0a;

/**
 * Hands bytes on in whole lines. Nx, where it has no terminal, ends a line wherever a piece of output ends, and a serial
 * console comes in pieces of any length. What is left at the end is handed on, too.
 */
export class WholeLines extends Writable {
  private readonly pending: Buffer[] = [];
  private timer: NodeJS.Timeout | undefined;

  /** @param target stays open */
  constructor(private readonly target: Writable) {
    super();
  }

  override _write(bytes: Buffer, _: BufferEncoding, done: () => void): void {
    clearTimeout(this.timer);
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    const lines = end === 0 ? [] : [...this.pending.splice(0), bytes.subarray(0, end)];
    if (end < bytes.length) {
      this.pending.push(bytes.subarray(end));
      this.timer = setTimeout(() => this.handOn(this.pending.splice(0)), PROMPT_AFTER);
    }
    this.handOn(lines, done);
  }

  override _final(done: () => void): void {
    clearTimeout(this.timer);
    this.handOn(this.pending.splice(0), done);
  }

  private handOn(pieces: readonly Buffer[], done: () => void = () => undefined): void {
    if (pieces.length === 0 || this.target.write(Buffer.concat(pieces))) done();
    else this.target.once('drain', done);
  }
}
