import { bytesSource, readAll, regionSource, leadingZerosSource } from './byte-source';

describe('regionSource', () => {
  const source = bytesSource(Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7));
  const bytesOf = (of: { size: number; read(offset: number, target: Uint8Array): void }): number[] => [
    ...readAll(of, 100),
  ];

  it('is a part of its source, and can itself be divided', () => {
    const region = regionSource(source, 2, 5);
    expect(bytesOf(region)).toEqual([2, 3, 4, 5, 6]);
    expect(bytesOf(regionSource(region, 1, 3))).toEqual([3, 4, 5]);
    expect(bytesOf(regionSource(source, 8, 0))).toEqual([]);
  });

  it('reads nothing outside its bounds', () => {
    const region = regionSource(source, 2, 3);
    expect(() => region.read(1, new Uint8Array(3))).toThrow('read of 3 bytes at 1 of a source of 3');
    expect(() => region.read(-1, new Uint8Array(1))).toThrow();
    expect(() => regionSource(region, 0, 4)).toThrow();
    expect(() => regionSource(source, Number.NaN, 1)).toThrow();
  });

  it('is known at once if its source is', async () => {
    let isReady = false;
    const late = { ...source, late: true, ready: async () => void (isReady = true) };
    const region = regionSource(late, 1, 2);
    expect(region.late).toBe(true);
    await region.ready?.();
    expect(isReady).toBe(true);
    expect(regionSource(source, 1, 2).ready).toBeUndefined();
  });
});

describe('readAll', () => {
  it('refuses more than its limit before it allocates', () => {
    const endless = { size: Number.MAX_SAFE_INTEGER, read: () => undefined };
    expect(() => readAll(endless, 16)).toThrow(expect.objectContaining({ code: 'IGVM_MALFORMED' }));
  });
});

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
