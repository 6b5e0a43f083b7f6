import { inspect } from 'node:util';
import { Worker } from 'node:worker_threads';
import type { FindingKind } from './execution';
import {
  type FuzzJob,
  type FuzzResult,
  type Job,
  type Message,
  type MinimizeJob,
  type MinimizeResult,
  SHARED,
} from './job';
import { reportFinding } from './report-finding';

export interface WatchOptions {
  /** Processor time after which the thread of an execution is ended, in milliseconds; one that ends earlier is only slow. */
  hang?: number;
  /** MiB of heap, far more than a small input needs. */
  heap?: number;
  onProgress?(result: FuzzResult): void;
}

/** Milliseconds between checks of the thread. */
const LOOK_INTERVAL = 200;

/** MiB of stack, as in Node's main thread, so that recursion has the same limit as for users. */
const STACK = 1;

type Outcome = { kind: 'message'; message: Message } | { kind: FindingKind; details: string };

/**
 * Runs jobs in a thread that may hang or run out of memory. That is a finding like any other, and the next job gets a new thread.
 * End it with {@link close}.
 */
export class WatchedFuzzer {
  private thread: Worker | undefined;
  private shared = new SharedArrayBuffer(0);

  /** @param targets path of a module that exports `TARGETS` */
  constructor(
    private readonly targets: string,
    private readonly options: WatchOptions = {},
  ) {}

  async fuzz(job: FuzzJob): Promise<FuzzResult> {
    let last: FuzzResult | undefined;
    const outcome = await this.run(job, (result) => {
      last = result;
      this.options.onProgress?.(result);
    });
    if (outcome.kind === 'message' && outcome.message.kind === 'fuzzed') return outcome.message.result;
    if (outcome.kind === 'message') throw new Error('bug in the fuzzer: an unexpected message');
    const numbers = new Int32Array(this.shared, 0, SHARED.header / 4);
    if (numbers[SHARED.running] === 0) throw new Error(`the fuzzer itself failed: ${outcome.details}`);
    const bytes = new Uint8Array(this.shared, SHARED.header).slice(0, numbers[SHARED.size]);
    const found = { kind: outcome.kind, signature: outcome.kind, details: outcome.details, bytes };
    const result: FuzzResult = last ?? {
      target: job.target,
      executions: Atomics.load(numbers, SHARED.executions),
      seconds: 0,
      cpuSeconds: 0,
      corpusSize: 0,
      covered: 0,
      findings: [],
    };
    result.findings.push(reportFinding(job.findings, found));
    return result;
  }

  async minimize(job: MinimizeJob): Promise<MinimizeResult> {
    const outcome = await this.run(job, () => undefined);
    if (outcome.kind === 'message' && outcome.message.kind === 'minimized') return outcome.message.result;
    throw new Error(`a corpus can only be minimized when nothing in it hangs: ${outcome.kind}`);
  }

  async close(): Promise<void> {
    await this.thread?.terminate();
    this.thread = undefined;
  }

  private async run(job: Job, onProgress: (result: FuzzResult) => void): Promise<Outcome> {
    const thread = (this.thread ??= this.start());
    const outcome = await new Promise<Outcome>((resolve) => {
      const settle = (value: Outcome): void => {
        clearInterval(looking);
        // A thread that is ended for one reason may still report another one.
        if (value.kind !== 'message') thread.on('error', () => undefined);
        thread.off('message', onMessage).off('error', onError);
        resolve(value);
      };
      const onMessage = (message: Message): void => {
        if (message.kind === 'progress') onProgress(message.result);
        else settle({ kind: 'message', message });
      };
      const onError = (error?: NodeJS.ErrnoException): void => {
        const isMemory = error?.code === 'ERR_WORKER_OUT_OF_MEMORY';
        settle({ kind: isMemory ? 'out-of-memory' : 'error', details: error?.stack ?? inspect(error) });
      };
      const looking = this.lookForHang(settle);
      thread.on('message', onMessage).on('error', onError);
      thread.postMessage(job);
    });
    if (outcome.kind !== 'message') await this.close();
    return outcome;
  }

  private start(): Worker {
    this.shared = new SharedArrayBuffer(SHARED.header + SHARED.bytes);
    const [hook, thread] = [require.resolve('../../scripts/typescript.cjs'), require.resolve('./thread.ts')];
    return new Worker(`require(${JSON.stringify(hook)}); require(${JSON.stringify(thread)});`, {
      eval: true,
      workerData: { shared: this.shared, targets: this.targets },
      resourceLimits: { maxOldGenerationSizeMb: this.options.heap ?? 768, stackSizeMb: STACK },
    });
  }

  /** Uses the processor time of the whole process, in which nothing else runs, so a busy machine causes no hang. */
  private lookForHang(found: (outcome: Outcome) => void): NodeJS.Timeout {
    const numbers = new Int32Array(this.shared, 0, SHARED.header / 4);
    const { hang = 10_000 } = this.options;
    let execution = -1;
    let since = process.cpuUsage();
    return setInterval(() => {
      const now = Atomics.load(numbers, SHARED.executions);
      if (now !== execution || Atomics.load(numbers, SHARED.running) === 0) {
        execution = now;
        since = process.cpuUsage();
        return;
      }
      const { user, system } = process.cpuUsage(since);
      if ((user + system) / 1000 > hang) found({ kind: 'hang', details: `no end after ${hang} ms of processor time` });
    }, LOOK_INTERVAL);
  }
}
