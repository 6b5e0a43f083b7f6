import { parentPort, workerData } from 'node:worker_threads';
import { AllocationMeter } from './allocation-meter';
import { addToCorpus, isNamed, readCorpus, replaceGenerated } from './corpus';
import { CoverageMap, withoutCounts } from './coverage';
import { execute } from './execution';
import { Fuzzer, type Instruments } from './fuzzer';
import { instrumentRequired, type Literals } from './instrument';
import {
  type FuzzJob,
  type FuzzResult,
  type Job,
  type Message,
  type MinimizeJob,
  type MinimizeResult,
  type ReportedFinding,
  SHARED,
} from './job';
import { type MeasuredFile, worthKeeping } from './minimize';
import { Random } from './random';
import { reportFinding } from './report-finding';
import type { Target } from './target';

/** A thread that fuzzes. All it knows about its watcher is where to report progress. */

const { shared, targets: targetsModule } = workerData as { shared: SharedArrayBuffer; targets: string };
const numbers = new Int32Array(shared, 0, SHARED.header / 4);
const current = new Uint8Array(shared, SHARED.header);

const coverage = new CoverageMap();
const meter = new AllocationMeter();
const literals = new Map<string, Literals>();
coverage.install();
instrumentRequired((path, found) => void literals.set(path, found));
// The product is loaded from here on; before, only execution.ts had its error class.
const { TARGETS } = require(targetsModule) as { TARGETS: readonly Target[] };
meter.install();

const instruments: Instruments = {
  coverage,
  meter,
  literals,
  watch: {
    begins(bytes) {
      current.set(bytes.subarray(0, current.length));
      numbers[SHARED.size] = bytes.length;
      Atomics.add(numbers, SHARED.executions, 1);
      Atomics.store(numbers, SHARED.running, 1);
    },
    ended: () => void Atomics.store(numbers, SHARED.running, 0),
  },
};

/** Milliseconds between reports of progress. */
const PROGRESS_INTERVAL = 5000;

const post = (message: Message): void => parentPort?.postMessage(message);

function targetNamed(name: string): Target {
  const target = TARGETS.find((each) => each.name === name);
  if (target === undefined) throw new Error(`no target ${name}`);
  return target;
}

async function fuzz(job: FuzzJob): Promise<FuzzResult> {
  const target = targetNamed(job.target);
  const grown = job.grown;
  const fuzzer = new Fuzzer(target, instruments, new Random(job.seed), (bytes) => {
    if (grown !== undefined) addToCorpus(grown, bytes);
  });
  const begun = performance.now();
  const cpu = process.cpuUsage();
  const reported: ReportedFinding[] = [];
  const result = (): FuzzResult => {
    for (const found of fuzzer.findings.slice(reported.length)) reported.push(reportFinding(job.findings, found));
    const { user, system } = process.cpuUsage(cpu);
    return {
      target: job.target,
      executions: fuzzer.executions,
      seconds: (performance.now() - begun) / 1000,
      cpuSeconds: (user + system) / 1e6,
      corpusSize: fuzzer.corpusSize,
      covered: fuzzer.covered,
      findings: reported,
    };
  };

  const files = [...readCorpus(job.corpus), ...(grown === undefined ? [] : readCorpus(grown))];
  await fuzzer.begin([...(await target.seeds()), ...files.map(({ bytes }) => bytes)]);

  let reportedAt = performance.now();
  const replayed = fuzzer.executions;
  const isOver = (): boolean =>
    'executions' in job.budget
      ? fuzzer.executions - replayed >= job.budget.executions
      : performance.now() - begun >= job.budget.seconds * 1000;
  while (!isOver()) {
    await fuzzer.step();
    if (performance.now() - reportedAt < PROGRESS_INTERVAL) continue;
    post({ kind: 'progress', result: result() });
    reportedAt = performance.now();
    // Lets the message be sent.
    await new Promise(setImmediate);
  }
  return result();
}

async function minimize(job: MinimizeJob): Promise<MinimizeResult> {
  const targets = job.targets.map(targetNamed);
  const measured = async (bytes: Uint8Array): Promise<Set<number>> => {
    const features = new Set<number>();
    for (const [index, target] of targets.entries()) {
      for (let time = 0; time < 2; time++) {
        instruments.watch?.begins(bytes);
        coverage.reset();
        await execute(target, bytes, meter);
        instruments.watch?.ended();
      }
      for (const feature of withoutCounts(coverage.features())) features.add(feature * targets.length + index);
    }
    return features;
  };
  const reached = new Set<number>();
  for (const target of targets) {
    for (const seed of await target.seeds()) for (const feature of await measured(seed)) reached.add(feature);
  }
  const files: MeasuredFile[] = [];
  for (const file of [...readCorpus(job.corpus), ...readCorpus(job.grown)]) {
    const features = await measured(file.bytes);
    if (isNamed(file)) for (const feature of features) reached.add(feature);
    else files.push({ ...file, features });
  }
  const kept = worthKeeping(files, reached);
  replaceGenerated(job.corpus, kept);
  return {
    before: files.length,
    kept: kept.length,
    bytes: readCorpus(job.corpus).reduce((sum, { bytes }) => sum + bytes.length, 0),
  };
}

parentPort?.on('message', (job: Job) => {
  const done =
    job.kind === 'fuzz'
      ? fuzz(job).then((result) => post({ kind: 'fuzzed', result }))
      : minimize(job).then((result) => post({ kind: 'minimized', result }));
  // An uncaught error ends the thread, and the watcher reports it.
  done.catch((error: unknown) =>
    setImmediate(() => {
      throw error;
    }),
  );
});
