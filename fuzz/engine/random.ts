/** Pseudo-random numbers from a seed (sfc32): the same seed gives the same run, on every machine. */
export class Random {
  private a = 0x9e3779b9;
  private b = 0x243f6a88;
  private c = 0xb7e15162;
  private counter = 1;

  /** @param seed unsigned, 32 bits */
  constructor(seed: number) {
    this.a ^= seed;
    for (let round = 0; round < 15; round++) this.u32();
  }

  /** Any unsigned number of 32 bits. */
  u32(): number {
    const result = (this.a + this.b + this.counter++) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + result) | 0;
    return result >>> 0;
  }

  /** A whole number from 0 to `limit` - 1; 0 if there is none. */
  below(limit: number): number {
    return limit <= 1 ? 0 : Math.floor((this.u32() / 2 ** 32) * limit);
  }

  /** True once in `times` times. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  /** An element of a non-empty list. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  /** A number below `limit`, small ones far more often than large ones. */
  small(limit: number): number {
    return this.below(1 + this.below(limit));
  }
}
