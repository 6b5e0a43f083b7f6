import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { IgvmError } from '../../src/errors/igvm-error';
import { AllocationMeter } from './allocation-meter';
import { execute, LIMITS } from './execution';
import type { Target } from './target';

const MIB = 2 ** 20;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const meter = new AllocationMeter();
const runs = (run: Target['run'], bytes = new Uint8Array(10), limits = LIMITS) =>
  execute({ run }, bytes, meter, limits);

describe('an execution', () => {
  it('may succeed or refuse its input', async () => {
    expect(await runs(() => undefined)).toBeUndefined();
    expect(await runs(() => Promise.resolve())).toBeUndefined();
    const refuse = (): never => {
      throw new IgvmError('IGVM_MALFORMED', 'no');
    };
    expect(await runs(refuse)).toBeUndefined();
  });

  it('must not fail in another way', async () => {
    const fail = (): never => {
      throw new TypeError('x is not a function');
    };
    expect(await runs(fail)).toMatchObject({ kind: 'error', details: expect.stringContaining('x is not a function') });
    expect(await runs(() => Promise.reject(new Error('late')))).toMatchObject({ kind: 'error' });
    const recurse = (depth: number): number => recurse(depth + 1) + 1;
    expect(await runs(() => void recurse(0))).toMatchObject({
      kind: 'error',
      details: expect.stringContaining('RangeError'),
    });
  });

  it('must not refuse its input with control characters in the message', async () => {
    class Rude extends IgvmError {
      override format(): string {
        return '\u001b[2J';
      }
    }
    const refuse = (): never => {
      throw new Rude('IGVM_MALFORMED', 'no');
    };
    expect(await runs(refuse)).toMatchObject({ kind: 'error', details: expect.stringContaining('control character') });
  });

  it('must not exceed its processor time', async () => {
    const spin = (): void => {
      const begun = process.cpuUsage();
      while (process.cpuUsage(begun).user < 40_000);
    };
    expect(await runs(spin, undefined, { ...LIMITS, cpu: 20 })).toMatchObject({ kind: 'slow' });
    expect(await runs(spin)).toBeUndefined();
  });

  it('must not wait forever', async () => {
    const never = () => new Promise<void>(() => undefined);
    expect(await runs(never, undefined, { ...LIMITS, stall: 50 })).toMatchObject({ kind: 'stall' });
  });

  it('must not read outside its file, even if it catches the error', async () => {
    expect(await runs((input) => input.source().read(4, new Uint8Array(7)))).toMatchObject({ kind: 'outside' });
    const hiding: Target['run'] = (input) => {
      try {
        input.source().read(-1, new Uint8Array(1));
      } catch {
        // Caught, but noticed.
      }
    };
    expect(await runs(hiding)).toMatchObject({ kind: 'outside' });
    expect(await runs((input) => input.source().read(4, new Uint8Array(6)))).toBeUndefined();
  });

  it('gets its bytes inside a larger buffer', async () => {
    await runs(({ bytes }) => {
      expect(bytes.byteOffset).toBeGreaterThan(0);
      expect(bytes.buffer.byteLength).toBeGreaterThan(bytes.byteOffset + bytes.length);
    });
  });

  it('must not fill the heap', async () => {
    // Garbage of other specs in this process could hide it if it were collected in the meantime.
    collectGarbage();
    let held: unknown;
    const hoard = (): void => {
      held = Array.from({ length: 2 * MIB }, (_, index) => [index]);
    };
    expect(await runs(hoard)).toMatchObject({ kind: 'heap' });
    expect(held).toBeDefined();
  });
});

describe('an execution whose buffers are counted', () => {
  beforeEach(() => meter.install());
  afterEach(() => meter.uninstall());

  it.each<[string, () => unknown]>([
    ['a typed array', () => new Uint8Array(65 * MIB)],
    ['a wide typed array', () => new BigUint64Array(9 * MIB)],
    ['a buffer', () => new ArrayBuffer(65 * MIB)],
    ['a shared buffer', () => new SharedArrayBuffer(65 * MIB)],
    ["Node's buffer", () => Buffer.alloc(65 * MIB)],
    ["Node's buffer from a pool", () => Array.from({ length: 65 }, () => Buffer.allocUnsafe(MIB))],
    ['many small ones', () => Array.from({ length: 65 }, () => new Uint8Array(MIB))],
    ['copies', () => Array.from({ length: 65 }, () => new Uint8Array(32 * MIB).subarray(0, MIB).slice())],
    ['copies of lists', () => Uint8Array.from({ length: 65 * MIB })],
    ['an absurd size', () => new Uint8Array(2 ** 40)],
  ])('must not allocate too much, at once or in total: %s', async (_, allocate) => {
    expect(await runs(() => void allocate())).toMatchObject({ kind: 'allocation' });
  });

  it('must not try to allocate too much, even if it catches the error', async () => {
    const hiding = (): void => {
      try {
        Buffer.alloc(2 ** 32);
      } catch {
        // Caught, but noticed.
      }
    };
    expect(await runs(hiding)).toMatchObject({ kind: 'allocation' });
  });

  it('may allocate four times its input plus 64 MiB, and any number of views', async () => {
    const allocate: Target['run'] = ({ size }) => {
      const bytes = new Uint8Array(4 * size + 64 * MIB);
      for (let view = 0; view < 1000; view++) new DataView(new Uint8Array(bytes.buffer, 0, MIB).buffer);
    };
    expect(await runs(allocate, new Uint8Array(MIB))).toBeUndefined();
  });

  it('can use typed arrays as usual', async () => {
    const finding = await runs(() => {
      expect(new Uint8Array(2) instanceof Uint8Array).toBe(true);
      expect(Buffer.from([1, 2]) instanceof Uint8Array).toBe(true);
      expect(Uint8Array.of(1, 2).map((value) => value + 1)).toEqual(Uint8Array.of(2, 3));
      expect(new Uint8Array(Buffer.concat([Buffer.from('a'), Uint8Array.of(98)]))).toEqual(Uint8Array.of(97, 98));
    });
    expect(finding).toBeUndefined();
  });
});
