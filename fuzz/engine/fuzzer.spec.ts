import { AllocationMeter } from './allocation-meter';
import { CoverageMap } from './coverage';
import { Fuzzer } from './fuzzer';
import { plantedTarget } from './planted.fixture';
import { Random } from './random';

async function fuzzed(seed: number, executions: number) {
  const coverage = new CoverageMap();
  const { target, literals } = plantedTarget(coverage);
  const kept: Uint8Array[] = [];
  const instruments = { coverage, meter: new AllocationMeter(), literals };
  const fuzzer = new Fuzzer(target, instruments, new Random(seed), (bytes) => void kept.push(bytes));
  await fuzzer.begin(await target.seeds());
  while (fuzzer.executions < executions && fuzzer.findings.length === 0) await fuzzer.step();
  return { fuzzer, kept };
}

describe('the fuzzer', () => {
  it.each([1, 2, 3])('finds a bug that needs a magic number, a length and a flag (seed %d)', async (seed) => {
    const { fuzzer } = await fuzzed(seed, 40_000);
    const [found] = fuzzer.findings;
    expect(found).toMatchObject({ kind: 'error', details: expect.stringContaining('TypeError: planted') });
    const bytes = found?.bytes ?? new Uint8Array(12);
    expect(new DataView(bytes.buffer).getUint32(0, true)).toBe(0x5a17c0de);
    expect(new DataView(bytes.buffer).getUint16(4, true)).toBe(bytes.length);
  });

  it('progresses in steps: the kept inputs cover more and more', async () => {
    const { fuzzer, kept } = await fuzzed(1, 40_000);
    expect(kept.length).toBeGreaterThan(2);
    expect(fuzzer.corpusSize).toBe(kept.length + 1);
  });

  it('does the same for the same seed', async () => {
    const [one, other] = [await fuzzed(9, 3000), await fuzzed(9, 3000)];
    expect(one.kept).toEqual(other.kept);
    expect(one.fuzzer.executions).toBe(other.fuzzer.executions);
  });

  it('reports a bug once', async () => {
    const coverage = new CoverageMap();
    const { target, literals } = plantedTarget(coverage);
    const always = { ...target, run: () => Promise.reject(new RangeError('always')) };
    const fuzzer = new Fuzzer(always, { coverage, meter: new AllocationMeter(), literals }, new Random(1));
    await fuzzer.begin([]);
    for (let step = 0; step < 50; step++) await fuzzer.step();
    expect(fuzzer.findings).toHaveLength(1);
  });
});
