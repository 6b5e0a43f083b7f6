import { Random } from './random';

const numbers = (seed: number): number[] => {
  const random = new Random(seed);
  return Array.from({ length: 1000 }, () => random.u32());
};

describe('random numbers', () => {
  it('depend on the seed only', () => {
    expect(numbers(1)).toEqual(numbers(1));
    expect(numbers(1)).not.toEqual(numbers(2));
  });

  it('are spread over all of 32 bits', () => {
    const high = numbers(7).filter((value) => value >= 2 ** 31).length;
    expect(high).toBeGreaterThan(400);
    expect(high).toBeLessThan(600);
    expect(new Set(numbers(7)).size).toBe(1000);
  });

  it('stay below their limit, and reach every number below it', () => {
    const random = new Random(3);
    const seen = new Set(Array.from({ length: 200 }, () => random.below(5)));
    expect(seen).toEqual(new Set([0, 1, 2, 3, 4]));
    expect(random.below(0)).toBe(0);
  });
});
