import { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { StringDecoder } from 'node:string_decoder';
import { LogText } from '../errors/printable';

/**
 * What a guest or VMM says, on its way to something that is no terminal: a file, a pipe, the log of a CI service. It becomes
 * text that does nothing there, see {@link LogText}. On a terminal it belongs as it is.
 */
export class LogOutput extends Writable {
  private readonly decoder = new StringDecoder('utf8');
  private readonly log = new LogText();

  /** @param target stays open */
  constructor(private readonly target: Writable) {
    super();
  }

  override _write(bytes: Buffer, _: BufferEncoding, done: () => void): void {
    this.handOn(this.log.add(this.decoder.write(bytes)), done);
  }

  override _final(done: () => void): void {
    this.handOn(this.log.add(this.decoder.end()) + this.log.end(), done);
  }

  /** Shows what is left. Call it when nothing more comes; a second time does nothing. */
  async finish(): Promise<void> {
    if (this.writableEnded) return;
    this.end();
    await finished(this);
  }

  private handOn(text: string, done: () => void): void {
    if (text === '' || this.target.write(text)) done();
    else this.target.once('drain', done);
  }
}
