import { EventEmitter } from 'node:events';
import { Writable } from 'node:stream';
import type { ReadStream } from 'node:tty';
import { connectTerminal, LogOutput, type Terminal, usableTerminal } from './console';

class FakeTerminal extends EventEmitter {
  isTTY = true;
  isRaw = false;
  isReading = false;
  setRawMode = (on: boolean) => {
    this.isRaw = on;
    return this;
  };
  resume = () => {
    this.isReading = true;
    return this;
  };
  pause = () => {
    this.isReading = false;
    return this;
  };
}

function connected() {
  const terminal = new FakeTerminal();
  const seen = { sent: '', told: '', quit: false };
  const restore = connectTerminal(terminal as unknown as Terminal, {
    send: (bytes) => void (seen.sent += Buffer.from(bytes).toString('latin1')),
    tell: (text) => void (seen.told += text),
    quit: () => void (seen.quit = true),
  });
  const type = (text: string) => terminal.emit('data', Buffer.from(text, 'latin1'));
  return { terminal, seen, restore, type };
}

describe('a terminal on the console of a guest', () => {
  it('passes on every key unchanged, including Ctrl-C and partial characters', () => {
    const { seen, type } = connected();
    for (const piece of ['ls\r', '\x03', '\x1b[A', '\xc3', '\xa4', '\x00\xff']) type(piece);
    expect(seen.sent).toBe('ls\r\x03\x1b[A\xc3\xa4\x00\xff');
  });

  it('shows how to quit, and quits with Ctrl-a x, in one piece or two', () => {
    const { seen, type } = connected();
    expect(seen.told).toMatch(/^nx-igvm: .*Ctrl-a x ends the run.*\n$/);
    type('a\x01xb');
    expect(seen).toMatchObject({ sent: 'a', quit: true });
    const other = connected();
    other.type('\x01');
    expect(other.seen.quit).toBe(false);
    other.type('X');
    expect(other.seen).toMatchObject({ sent: '', quit: true });
  });

  it('passes Ctrl-a on when it is not a command', () => {
    const { seen, type } = connected();
    type('\x01\x01k\x01b');
    expect(seen).toMatchObject({ sent: '\x01k\x01b', quit: false });
    const before = seen.told;
    type('\x01?');
    expect(seen.told).toBe(before + before);
    expect(seen.sent).toBe('\x01k\x01b');
  });

  it('is restored afterwards', () => {
    const { terminal, restore, seen, type } = connected();
    expect(terminal).toMatchObject({ isRaw: true, isReading: true });
    restore();
    restore();
    expect(terminal).toMatchObject({ isRaw: false, isReading: false });
    type('late');
    expect(seen.sent).toBe('');
  });

  it('must be a terminal', () => {
    expect(usableTerminal(undefined)).toBeUndefined();
    expect(usableTerminal({ isTTY: false } as ReadStream)).toBeUndefined();
  });
});

describe('the output of a guest without a terminal', () => {
  it('is written as whole characters, without commands for a CI service', async () => {
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
