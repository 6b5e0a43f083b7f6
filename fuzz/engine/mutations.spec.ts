import { type Material, mutateBytes } from './mutate-bytes';
import { mutateJson } from './mutate-json';
import { Random } from './random';

const MAX = 64;
const material = (seed: number, more: Partial<Material> = {}): Material => ({
  random: new Random(seed),
  maxSize: MAX,
  dictionary: [Uint8Array.of(0xde, 0xad, 0xbe, 0xef)],
  other: new Uint8Array(20).fill(9),
  ...more,
});
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const INPUT = Uint8Array.from({ length: 32 }, (_, index) => index);

describe('mutants of bytes', () => {
  const mutants = Array.from({ length: 3000 }, (_, seed) => mutateBytes(INPUT, material(seed)));

  it('depend on the random numbers only, and leave the original unchanged', () => {
    expect(mutateBytes(INPUT, material(5))).toEqual(mutateBytes(INPUT, material(5)));
    expect([...INPUT]).toEqual(Array.from({ length: 32 }, (_, index) => index));
  });

  it('are never too large', () => {
    expect(Math.max(...mutants.map(({ length }) => length))).toBeLessThanOrEqual(MAX);
  });

  it.each<[string, (mutant: Uint8Array) => boolean]>([
    ['one bit', (mutant) => mutant.length === 32 && bitsChanged(mutant) === 1],
    ['a limit of 32 bits', (mutant) => hex(mutant).includes('ffffff7f')],
    ['their own size', (mutant) => mutant.length === 32 && mutant[0] === 32],
    ['a word of the dictionary', (mutant) => hex(mutant).includes('deadbeef')],
    ['a part of another input', (mutant) => hex(mutant).includes('090909')],
    ['a repeated block', (mutant) => hex(mutant).split('04050607').length > 2],
    ['a missing end', (mutant) => mutant.length < 32 && hex(INPUT).startsWith(hex(mutant))],
    [
      'a missing middle',
      (mutant) => mutant.length < 32 && mutant.length > 8 && mutant[0] === 0 && mutant.at(-1) === 31,
    ],
  ])('sometimes have %s', (_, is) => {
    expect(mutants.some(is)).toBe(true);
  });

  it('can be made from an empty input', () => {
    for (let seed = 0; seed < 200; seed++) {
      const empty = material(seed, { other: new Uint8Array(0), dictionary: [] });
      expect(mutateBytes(new Uint8Array(0), empty).length).toBeLessThanOrEqual(MAX);
    }
  });
});

function bitsChanged(mutant: Uint8Array): number {
  let bits = 0;
  for (const [index, byte] of mutant.entries()) {
    for (let change = byte ^ (INPUT[index] as number); change !== 0; change &= change - 1) bits++;
  }
  return bits;
}

describe('mutants of JSON', () => {
  const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  const input = text({ name: 'a', list: [1, 2, { deep: true }], size: 4096 });
  const mutants = Array.from({ length: 2000 }, (_, seed) =>
    new TextDecoder().decode(mutateJson(input, material(seed, { maxSize: 4096, other: text({ alien: [null] }) }))),
  );
  const values = mutants.flatMap((mutant): unknown[] => {
    try {
      return [JSON.parse(mutant)];
    } catch {
      return [];
    }
  });

  it('are mostly JSON', () => {
    expect(values.length).toBeGreaterThan(1000);
    expect(values.length).toBeLessThan(2000);
  });

  it.each<[string, RegExp]>([
    ['one key less', /^\{"name":"a","size":4096\}$/],
    ['the key __proto__', /"__proto__":/],
    ['numbers that a double cannot represent', /18446744073709551616/],
    ['half a character', /\\ud800/],
    ['parts of another document', /"alien"/],
    ['deep nesting', /\[{64}/],
    ['spaces', /\n "list"/],
  ])('sometimes have %s', (_, pattern) => {
    expect(mutants.some((mutant) => pattern.test(mutant))).toBe(true);
  });

  it('can be made from empty objects', () => {
    for (let seed = 0; seed < 500; seed++) {
      expect(() => mutateJson(text({}), material(seed, { maxSize: 4096, other: text([{}]) }))).not.toThrow();
    }
  });

  it('are bytes if the original is not JSON, or is nested too deeply for a tree', () => {
    const deep = new TextEncoder().encode('['.repeat(5000) + ']'.repeat(5000));
    for (let seed = 0; seed < 100; seed++) {
      const mutant = mutateJson(deep, material(seed, { maxSize: 20_000, other: deep }));
      expect(mutant.length).toBeLessThanOrEqual(20_000);
    }
    expect(mutateJson(Uint8Array.of(0xff, 0xfe), material(1)).length).toBeLessThanOrEqual(MAX);
  });
});
