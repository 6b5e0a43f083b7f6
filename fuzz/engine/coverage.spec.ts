import { CoverageMap, withoutCounts } from './coverage';
import { dictionaryOf } from './dictionary';
import { instrument, type Literals } from './instrument';

function load(source: string, coverage: CoverageMap): { run: (value: number) => unknown; literals: Literals } {
  coverage.install();
  const { code, literals } = instrument(source, `/src/${source.length}.js`);
  const module = { exports: undefined as unknown };
  // oxlint-disable-next-line typescript/no-implied-eval -- the code is ours, and must be instrumented first
  new Function('module', code)(module);
  return { run: module.exports as (value: number) => unknown, literals };
}

const LOOP =
  'module.exports = (n) => { let sum = 0; for (let i = 0; i < n; i++) sum += i; return sum > 5 ? "many" : "few"; };';

describe('coverage', () => {
  const coverage = new CoverageMap();
  const { run } = load(LOOP, coverage);
  const featuresOf = (value: number): Uint32Array => {
    coverage.reset();
    run(value);
    return coverage.features();
  };

  it('is the same for the same input', () => {
    expect(featuresOf(3)).toEqual(featuresOf(3));
  });

  it('distinguishes branches', () => {
    expect(withoutCounts(featuresOf(3))).not.toEqual(withoutCounts(featuresOf(5)));
  });

  it('shows approximately how often a loop ran', () => {
    expect(featuresOf(10)).toEqual(featuresOf(11));
    expect(featuresOf(10)).not.toEqual(featuresOf(100));
    expect(withoutCounts(featuresOf(10))).toEqual(withoutCounts(featuresOf(100)));
    expect(featuresOf(1000)).toEqual(featuresOf(100_000));
  });

  it('recognises new features', () => {
    const seen = coverage.record();
    expect(seen.add(featuresOf(3))).toBeGreaterThan(0);
    const before = seen.counters;
    expect(seen.add(featuresOf(3))).toBe(0);
    expect(seen.add(featuresOf(9))).toBeGreaterThan(0);
    expect(seen.counters).toBeGreaterThan(before);
  });

  it('lists the executed files', () => {
    featuresOf(1);
    expect(coverage.activeFiles()).toEqual([`/src/${LOOP.length}.js`]);
    coverage.reset();
    expect(coverage.activeFiles()).toEqual([]);
  });
});

describe('the constants of code', () => {
  const { literals } = load(
    'module.exports = (x) => x === 0x1234 || x === 7 || x === 0x8664n || x === "_FVH";',
    new CoverageMap(),
  );

  it('are its numbers, except small ones, and its strings', () => {
    expect(literals).toEqual({ numbers: [0x1234n, 0x8664n], strings: ['_FVH'] });
  });

  it('become words in both byte orders, or text', () => {
    const words = dictionaryOf([literals], 'binary').map((word) => Buffer.from(word).toString('hex'));
    expect(words).toEqual(expect.arrayContaining(['3412', '1234', '34120000', '6486', '5f465648']));
    expect(dictionaryOf([literals], 'json').map((word) => new TextDecoder().decode(word))).toEqual([
      '4660',
      '34404',
      '"_FVH"',
    ]);
  });
});
