import { bytesSource, leadingZerosSource, readAll } from './byte-source';

const source = bytesSource(Uint8Array.of(1, 2, 3, 4));

describe('leadingZerosSource', () => {
  it('consists of zeros, then the source', () => {
    expect([...readAll(leadingZerosSource(3, source), 100)]).toEqual([0, 0, 0, 1, 2, 3, 4]);
  });

  it('is the source itself without zeros', () => {
    expect(leadingZerosSource(0, source)).toBe(source);
  });

  it('reads any part, and overwrites the target', () => {
    const padded = leadingZerosSource(3, source);
    const whole = [0, 0, 0, 1, 2, 3, 4];
    for (let start = 0; start <= whole.length; start++) {
      for (let end = start; end <= whole.length; end++) {
        const target = new Uint8Array(end - start).fill(0xff);
        padded.read(start, target);
        expect([...target]).toEqual(whole.slice(start, end));
      }
    }
  });

  it('waits until its source is ready, and is late if its source is', async () => {
    const ready = jest.fn(() => Promise.resolve());
    const padded = leadingZerosSource(1, { ...source, ready, late: true });
    await padded.ready?.();
    expect(ready).toHaveBeenCalledTimes(1);
    expect(padded.late).toBe(true);
  });
});
