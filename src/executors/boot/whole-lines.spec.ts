import { WholeLines } from './whole-lines';

describe('whole lines', () => {
  let written: string[];
  let lines: WholeLines;
  beforeEach(() => {
    jest.useFakeTimers();
    written = [];
    lines = new WholeLines((text) => written.push(text));
  });
  afterEach(() => jest.useRealTimers());

  it('are put together from pieces', () => {
    for (const piece of ['Linux ver', 'sion 6\r\nCommand', ' line\r\n', 'Memory']) lines.take(piece);
    expect(written).toEqual(['Linux version 6\r\n', 'Command line\r\n']);
    lines.end();
    expect(written.at(-1)).toBe('Memory');
    lines.end();
    expect(written).toHaveLength(3);
  });

  it('are not waited for after a prompt', () => {
    lines.take('\nlogin: ');
    jest.advanceTimersByTime(400);
    expect(written).toEqual(['\n']);
    jest.advanceTimersByTime(200);
    expect(written).toEqual(['\n', 'login: ']);
  });
});
