import { COVERAGE_VARIABLE } from './instrument';

/** Istanbul's counters of one file. */
interface FileCounters {
  path: string;
  s: Record<string, number> | Uint32Array;
  f: Record<string, number> | Uint32Array;
  b: Record<string, number[]> | Uint32Array[];
}

/** The most counters in all files; our whole source has a quarter of them. */
const MOST_COUNTERS = 2 ** 18;

/** Counts above these limits are in the next bucket, as in AFL: 5 instead of 4 runs of a loop are new coverage, 50 instead of 49 are not. */
const BUCKET_ENDS = [1, 2, 3, 7, 15, 31, 127] as const;

const bucketBit = (count: number): number => {
  const index = BUCKET_ENDS.findIndex((end) => count <= end);
  return 1 << (index === -1 ? BUCKET_ENDS.length : index);
};

const SMALL_BUCKETS = Uint8Array.from({ length: 128 }, (_, count) => (count === 0 ? 0 : bucketBit(count)));

/**
 * The counters of an execution in one array. Each file's counters move there when the file is loaded, so that executions can be
 * compared in one pass over memory.
 */
export class CoverageMap {
  private readonly counters = new Uint32Array(MOST_COUNTERS);
  private readonly files: { path: string; from: number; to: number }[] = [];
  private used = 0;

  /** Lets instrumented code that is loaded from now on count in this map. */
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

  /** Features of the execution since {@link reset}: each is a counter with its approximate count. */
  features(): Uint32Array {
    const features: number[] = [];
    const { counters, used } = this;
    for (let index = 0; index < used; index++) {
      const count = counters[index] as number;
      if (count !== 0) features.push(index * 256 + (count < 128 ? (SMALL_BUCKETS[count] as number) : 128));
    }
    return Uint32Array.from(features);
  }

  /** The files that ran since {@link reset}. */
  activeFiles(): string[] {
    return this.files.filter(({ from, to }) => this.counters.subarray(from, to).some(Boolean)).map(({ path }) => path);
  }

  /** A record of all coverage of one target. */
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

/** The features of all executions so far. */
export class SeenFeatures {
  private readonly buckets: Uint8Array;
  private counterCount = 0;

  constructor(counters: number) {
    this.buckets = new Uint8Array(counters);
  }

  /** Counters that were ever reached: the covered statements, functions and branches. */
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

/** Features without counts: whether a counter was reached. The kept corpus is chosen by these. */
export const withoutCounts = (features: Uint32Array): Uint32Array => features.map((feature) => (feature | 0xff) - 0xfe);
