import { COVERAGE_VARIABLE } from './instrument';

/** Istanbul's counters of one file. */
interface FileCounters {
  path: string;
  s: Record<string, number> | Uint32Array;
  f: Record<string, number> | Uint32Array;
  b: Record<string, number[]> | Uint32Array[];
}

/** Counters of all files together; our whole source has a quarter of them. */
const MOST_COUNTERS = 2 ** 18;

/** The first counter above these takes the next bucket, as in AFL: a loop that ran 5 times instead of 4 is news, 50 instead of 49 is not. */
const BUCKET_ENDS = [1, 2, 3, 7, 15, 31, 127] as const;

const bucketBit = (count: number): number => {
  const index = BUCKET_ENDS.findIndex((end) => count <= end);
  return 1 << (index === -1 ? BUCKET_ENDS.length : index);
};

const SMALL_BUCKETS = Uint8Array.from({ length: 128 }, (_, count) => (count === 0 ? 0 : bucketBit(count)));

/**
 * What an execution did, as numbers that are kept in one array: each file's counters move there when the file is
 * loaded. Comparing executions is then a pass over memory.
 */
export class CoverageMap {
  private readonly counters = new Uint32Array(MOST_COUNTERS);
  private readonly files: { path: string; from: number; to: number }[] = [];
  private used = 0;

  /** Makes the map the place where instrumented code, loaded from now on, counts. */
  install(): void {
    const known: Record<string, FileCounters> = {};
    const files = new Proxy(known, {
      set: (target, path, counters: FileCounters) => {
        this.adopt(counters);
        return Reflect.set(target, path, counters);
      },
    });
    Object.assign(globalThis, { [COVERAGE_VARIABLE]: files });
  }

  /** Forgets the last execution. */
  reset(): void {
    this.counters.fill(0, 0, this.used);
  }

  /** Features of the execution since {@link reset}: each is a counter and how often, about, it was reached. */
  features(): Uint32Array {
    const features: number[] = [];
    const { counters, used } = this;
    for (let index = 0; index < used; index++) {
      const count = counters[index] as number;
      if (count !== 0) features.push(index * 256 + (count < 128 ? (SMALL_BUCKETS[count] as number) : 128));
    }
    return Uint32Array.from(features);
  }

  /** The files that did something since {@link reset}. */
  activeFiles(): string[] {
    return this.files.filter(({ from, to }) => this.counters.subarray(from, to).some(Boolean)).map(({ path }) => path);
  }

  /** A record of what was ever seen, for one target. */
  record(): SeenFeatures {
    return new SeenFeatures(MOST_COUNTERS);
  }

  private adopt(file: FileCounters): void {
    const from = this.used;
    const take = (size: number): Uint32Array => {
      const start = this.used;
      this.used += size;
      if (this.used > MOST_COUNTERS) throw new Error('bug in the fuzzer: too few counters');
      return this.counters.subarray(start, this.used);
    };
    file.s = take(Object.keys(file.s).length);
    file.f = take(Object.keys(file.f).length);
    file.b = Object.values(file.b).map(({ length }) => take(length));
    this.files.push({ path: file.path, from, to: this.used });
  }
}

/** The features that any execution so far had. */
export class SeenFeatures {
  private readonly buckets: Uint8Array;
  private counterCount = 0;

  constructor(counters: number) {
    this.buckets = new Uint8Array(counters);
  }

  /** Counters that were reached at all: the statements, functions and branches covered. */
  get counters(): number {
    return this.counterCount;
  }

  /** Adds features and returns how many are new. */
  add(features: Uint32Array): number {
    let added = 0;
    for (const feature of features) {
      const index = feature >>> 8;
      const bit = feature & 0xff;
      const before = this.buckets[index] as number;
      if ((before & bit) !== 0) continue;
      if (before === 0) this.counterCount++;
      this.buckets[index] = before | bit;
      added++;
    }
    return added;
  }
}

/** Features without how often: whether a counter was reached. What a kept corpus is chosen by. */
export const withoutCounts = (features: Uint32Array): Uint32Array => features.map((feature) => (feature | 0xff) - 0xfe);
