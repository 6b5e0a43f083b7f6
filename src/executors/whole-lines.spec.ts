import { finished } from 'node:stream/promises';
import { collecting } from '../boot/fake-vmm.fixture';
import { WholeLines } from './boot';

describe('whole lines', () => {
  let written: string[];
  let lines: WholeLines;
  beforeEach(() => {
    written = [];
    lines = new WholeLines(collecting((text) => written.push(text)));
  });
  afterEach(() => jest.useRealTimers());

  it('are assembled from pieces, and followed by the rest', async () => {
    for (const piece of ['Linux ver', 'sion 6\r\nCommand', ' line\r\n', 'Kernel panic', ' - not']) lines.write(piece);
    expect(written).toEqual(['Linux version 6\r\n', 'Command line\r\n']);
    lines.end();
    await finished(lines);
    expect(written).toEqual(['Linux version 6\r\n', 'Command line\r\n', 'Kernel panic - not']);
  });

  it('keep every byte', async () => {
    const got: Buffer[] = [];
    const target = collecting(() => undefined);
    target._write = (bytes: Buffer, _, done) => {
      got.push(bytes);
      done();
    };
    const all = Buffer.from(Array.from({ length: 4096 }, (_, index) => index % 251));
    const exact = new WholeLines(target);
    for (let at = 0; at < all.length; at += 13) exact.write(all.subarray(at, at + 13));
    exact.end();
    await finished(exact);
    expect(Buffer.concat(got).equals(all)).toBe(true);
  });

  it('are not awaited after a prompt', () => {
    jest.useFakeTimers({ doNotFake: ['nextTick'] });
    lines.write('\nlogin: ');
    jest.advanceTimersByTime(400);
    expect(written).toEqual(['\n']);
    jest.advanceTimersByTime(200);
    expect(written).toEqual(['\n', 'login: ']);
  });
});
