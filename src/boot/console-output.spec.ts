import { Writable } from 'node:stream';
import { LogOutput } from './console';

describe('the output of a guest that nobody watches on a terminal', () => {
  it('is text in whole characters, without commands for a CI service', async () => {
    const written: string[] = [];
    const target = new Writable({
      write(bytes: Buffer, _, done) {
        written.push(bytes.toString());
        setTimeout(done, 1);
      },
      highWaterMark: 4,
    });
    const output = new LogOutput(target);
    const bytes = Buffer.from('boot ä\u001b[0m\r\n::stop-commands::x\n/ # ');
    for (const byte of bytes) output.write(Buffer.from([byte]));
    await output.finish();
    await output.finish();
    await new Promise((resolve) => target.end(resolve));
    expect(written.join('')).toBe('boot ä\\u{1b}[0m\r\n\\u{3a}:stop-commands::x\n/ # ');
  });
});
