import { createHash } from 'node:crypto';
import type { AllocationMeter } from './allocation-meter';
import { type CoverageMap, type SeenFeatures, withoutCounts } from './coverage';
import { type Dictionary, dictionaryOf, ownDictionary } from './dictionary';
import { execute, type Finding, LIMITS, type Limits } from './execution';
import type { Literals } from './instrument';
import { mutateBytes } from './mutate-bytes';
import { mutateJson } from './mutate-json';
import type { Random } from './random';
import { DEFAULT_MAX_SIZE, type Target } from './target';

/** State that all targets of a thread share. */
export interface Instruments {
  coverage: CoverageMap;
  meter: AllocationMeter;
  /** The constants of instrumented files. */
  literals: ReadonlyMap<string, Literals>;
  /** Called for each execution, for the watcher of the thread. */
  watch?: { begins(bytes: Uint8Array): void; ended(): void };
  limits?: Limits;
}

/** An input with new coverage. */
interface Entry {
  bytes: Uint8Array;
  picks: number;
}

/** A broken rule, and the smallest input found that breaks it. */
export interface FoundInput extends Finding {
  bytes: Uint8Array;
}

/** The maximum number of executions to reduce one input. */
const TRIM_EXECUTIONS = 64;

/** One in this many mutants keeps wrong checksums. */
const UNREPAIRED = 16;

/**
 * Coverage-guided fuzzing of one target: mutants are made from inputs with new coverage, and those with new coverage join them. The
 * order depends only on the seed of `random`.
 */
export class Fuzzer {
  executions = 0;
  readonly findings: FoundInput[] = [];
  private readonly seen: SeenFeatures;
  private readonly entries: Entry[] = [];
  private dictionary: Dictionary = [];
  private readonly activeFiles = new Set<string>();

  constructor(
    private readonly target: Target,
    private readonly instruments: Instruments,
    private readonly random: Random,
    /** Receives inputs with new coverage. */
    private readonly keep: (bytes: Uint8Array) => void = () => undefined,
  ) {
    this.seen = instruments.coverage.record();
  }

  /** Statements, functions and branches reached by any input so far. */
  get covered(): number {
    return this.seen.counters;
  }

  /** Inputs that each had new coverage. */
  get corpusSize(): number {
    return this.entries.length;
  }

  /** Runs inputs unchanged; all of them are mutated later. Call this once, first. */
  async begin(inputs: readonly Uint8Array[]): Promise<void> {
    const { coverage, literals } = this.instruments;
    for (const bytes of inputs) {
      // The first run loads the modules that the product loads late.
      await this.run(bytes);
      const features = await this.run(bytes);
      for (const path of coverage.activeFiles()) this.activeFiles.add(path);
      this.seen.add(features);
      this.entries.push({ bytes, picks: 0 });
    }
    if (this.entries.length === 0) this.entries.push({ bytes: new Uint8Array(0), picks: 0 });
    const found = [...this.activeFiles].flatMap((path) => literals.get(path) ?? []);
    const own = ownDictionary(this.target.dictionary ?? []);
    const harvested = dictionaryOf(found, this.target.format);
    // Words from the target and words from the code are equally likely, however many there are of each.
    const times = own.length === 0 ? 0 : Math.ceil(harvested.length / own.length);
    this.dictionary = [...harvested, ...Array.from({ length: times }, () => own).flat()];
  }

  /** Makes one mutant and runs it. */
  async step(): Promise<void> {
    const entry = this.choose();
    entry.picks++;
    const bytes = this.mutant(entry.bytes);
    const features = await this.run(bytes);
    if (this.seen.add(features) === 0) return;
    const kept = await this.trim(bytes, features);
    this.entries.push({ bytes: kept, picks: 0 });
    this.keep(kept);
  }

  /** Picks a new entry, a rarely used one, or any. */
  private choose(): Entry {
    const { entries, random } = this;
    const any = random.pick(entries);
    switch (random.below(3)) {
      case 0:
        return entries[entries.length - 1 - random.small(entries.length)] as Entry;
      case 1: {
        const others = [any, random.pick(entries), random.pick(entries), random.pick(entries)];
        return others.reduce((least, each) => (each.picks < least.picks ? each : least));
      }
      default:
        return any;
    }
  }

  private mutant(bytes: Uint8Array): Uint8Array {
    const { target, random, dictionary } = this;
    const maxSize = target.maxSize ?? DEFAULT_MAX_SIZE;
    const material = { random, maxSize, dictionary, other: random.pick(this.entries).bytes };
    let result = bytes;
    if (target.mutate !== undefined && random.oneIn(2)) result = target.mutate(result, random).subarray(0, maxSize);
    if (target.mutate === undefined || random.oneIn(2)) {
      result = target.format === 'json' ? mutateJson(result, material) : mutateBytes(result, material);
    }
    return this.repaired(result, !random.oneIn(UNREPAIRED));
  }

  private repaired(bytes: Uint8Array, isWanted = true): Uint8Array {
    const copy = Uint8Array.from(bytes);
    if (isWanted) this.target.repair?.(copy);
    return copy;
  }

  private async run(bytes: Uint8Array): Promise<Uint32Array> {
    const { finding, features } = await this.observe(bytes);
    if (finding !== undefined && !this.findings.some(({ signature }) => signature === finding.signature)) {
      this.findings.push({ ...finding, bytes: await this.shrink(bytes, finding) });
    }
    return features;
  }

  private async observe(bytes: Uint8Array): Promise<{ finding: Finding | undefined; features: Uint32Array }> {
    const { coverage, meter, limits = LIMITS, watch } = this.instruments;
    this.executions++;
    watch?.begins(bytes);
    coverage.reset();
    const finding = await execute(this.target, bytes, meter, limits);
    watch?.ended();
    return { finding, features: coverage.features() };
  }

  /** A smaller input that reaches the same places. */
  private async trim(bytes: Uint8Array, features: Uint32Array): Promise<Uint8Array> {
    const wanted = digest(withoutCounts(features));
    return this.smaller(bytes, async (candidate) => {
      const { finding, features: reached } = await this.observe(candidate);
      return finding === undefined && digest(withoutCounts(reached)) === wanted;
    });
  }

  /** A smaller input with the same finding. */
  private async shrink(bytes: Uint8Array, { kind, signature }: Finding): Promise<Uint8Array> {
    if (kind === 'slow') return bytes;
    return this.smaller(bytes, async (candidate) => (await this.observe(candidate)).finding?.signature === signature);
  }

  /** Removes blocks, large ones first, as long as `isSame` holds. */
  private async smaller(bytes: Uint8Array, isSame: (candidate: Uint8Array) => Promise<boolean>): Promise<Uint8Array> {
    let best = bytes;
    let left = TRIM_EXECUTIONS;
    for (let size = best.length >> 1; size >= 4 && left > 0; size >>= 1) {
      for (let at = best.length - size; at >= 0 && left > 0; at -= size) {
        const rest = new Uint8Array(best.length - size);
        rest.set(best.subarray(0, at));
        rest.set(best.subarray(at + size), at);
        const candidate = this.repaired(rest);
        left--;
        if (await isSame(candidate)) best = candidate;
      }
    }
    return best;
  }
}

const digest = (features: Uint32Array): string => createHash('sha1').update(features).digest('base64');
