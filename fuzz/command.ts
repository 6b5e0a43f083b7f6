import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import type { Budget, FuzzJob, FuzzResult } from './engine/job';
import { corpusName, type Target } from './engine/target';
import { WatchedFuzzer } from './engine/watch';
import { TARGETS } from './targets';

const USAGE = `npm run fuzz -- --target NAME [--target NAME ...] | --all
  --seconds N      how long to fuzz each target (default 60), or
  --executions N   how many mutants to run
  --seed N         seed of the random numbers (default 1)
  --grow           also read, and add to, the inputs found on this machine so far (tmp/fuzz)
  --minimize       instead of fuzzing, move the inputs worth keeping from there to fuzz/corpus
  --findings DIR   the folder for inputs that break a rule (default tmp/fuzz/findings)
  --json           print results as JSON, for programs
  --list           show the targets
`;

const ROOT = join(__dirname, '..');
const CORPUS = join(__dirname, 'corpus');
const WORKING = join(ROOT, 'tmp', 'fuzz');
const TARGETS_MODULE = require.resolve('./targets');

/** Options that must be numbers: with other text, fuzzing would never end. */
const NUMBERS = ['seconds', 'executions', 'seed'] as const;

const isAmount = (name: (typeof NUMBERS)[number], text: string): boolean =>
  Number(text) > 0 && (name === 'seconds' ? Number.isFinite(Number(text)) : Number.isSafeInteger(Number(text)));

/** The command; its exit code is 1 if anything was found. */
export async function main(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      target: { type: 'string', multiple: true, default: [] },
      all: { type: 'boolean', default: false },
      seconds: { type: 'string' },
      executions: { type: 'string' },
      seed: { type: 'string', default: '1' },
      grow: { type: 'boolean', default: false },
      minimize: { type: 'boolean', default: false },
      findings: { type: 'string', default: join(WORKING, 'findings') },
      json: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const unknown = values.target.find((name) => !TARGETS.some((target) => target.name === name));
  const targets = values.all ? TARGETS : TARGETS.filter(({ name }) => values.target.includes(name));
  if (values.list) {
    process.stdout.write(TARGETS.map(({ name, about }) => `${name.padEnd(18)}${about}\n`).join(''));
    return;
  }
  if (unknown !== undefined) process.stderr.write(`there is no target ${unknown}\n`);
  const wrong = NUMBERS.find((name) => values[name] !== undefined && !isAmount(name, values[name]));
  if (wrong !== undefined)
    process.stderr.write(`--${wrong} must be a ${wrong === 'seconds' ? '' : 'whole '}number above 0\n`);
  if (values.help || wrong !== undefined || unknown !== undefined || targets.length === 0) {
    process.stderr.write(USAGE);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  if (values.minimize) return minimize(targets);
  const budget: Budget =
    values.executions === undefined
      ? { seconds: Number(values.seconds ?? 60) }
      : { executions: Number(values.executions) };
  const results = await fuzz(targets, {
    budget,
    seed: Number(values.seed),
    grow: values.grow,
    findings: values.findings,
  });
  if (values.json) process.stdout.write(`${JSON.stringify(results)}\n`);
  else process.stdout.write(results.map(resultText).join(''));
  if (results.some(({ findings }) => findings.length > 0)) process.exitCode = 1;
}

interface FuzzOptions {
  budget: Budget;
  seed: number;
  grow: boolean;
  /** Folder. */
  findings: string;
}

async function fuzz(targets: readonly Target[], { budget, seed, grow, findings }: FuzzOptions): Promise<FuzzResult[]> {
  const watched = new WatchedFuzzer(TARGETS_MODULE, {
    onProgress: (result) => process.stderr.write(resultText(result)),
  });
  const results: FuzzResult[] = [];
  try {
    for (const target of targets) {
      const folder = corpusName(target);
      const job: FuzzJob = {
        kind: 'fuzz',
        target: target.name,
        seed,
        budget,
        corpus: join(CORPUS, folder),
        ...(grow ? { grown: join(WORKING, 'corpus', folder) } : {}),
        findings: join(findings, target.name),
      };
      results.push(await fuzzOn(watched, job));
    }
  } finally {
    await watched.close();
  }
  return results;
}

/** Fuzzes until the time is over, even if findings end the thread. */
async function fuzzOn(watched: WatchedFuzzer, job: FuzzJob): Promise<FuzzResult> {
  const end = performance.now() + ('seconds' in job.budget ? job.budget.seconds * 1000 : 0);
  let total = await watched.fuzz(job);
  for (let seed = job.seed + 1; ; seed++) {
    const left = (end - performance.now()) / 1000;
    const isEnded = total.findings.some(({ kind }) => kind === 'hang' || kind === 'out-of-memory');
    if (!isEnded || left < 1) return total;
    const next = await watched.fuzz({ ...job, seed, budget: { seconds: left } });
    const known = new Set(total.findings.map(({ signature }) => signature));
    total = {
      ...next,
      executions: total.executions + next.executions,
      seconds: total.seconds + next.seconds,
      cpuSeconds: total.cpuSeconds + next.cpuSeconds,
      findings: [...total.findings, ...next.findings.filter(({ signature }) => !known.has(signature))],
    };
  }
}

async function minimize(targets: readonly Target[]): Promise<void> {
  const watched = new WatchedFuzzer(TARGETS_MODULE);
  try {
    for (const folder of new Set(targets.map(corpusName))) {
      const sharing = TARGETS.filter((target) => corpusName(target) === folder).map(({ name }) => name);
      const { before, kept, bytes } = await watched.minimize({
        kind: 'minimize',
        targets: sharing,
        corpus: join(CORPUS, folder),
        grown: join(WORKING, 'corpus', folder),
      });
      process.stdout.write(`${folder}: ${kept} of ${before} inputs kept, ${bytes} bytes in all\n`);
    }
  } finally {
    await watched.close();
  }
}

function resultText({ target, executions, seconds, cpuSeconds, corpusSize, covered, findings }: FuzzResult): string {
  const head = `${target}: ${executions} executions in ${seconds.toFixed(1)} s (${cpuSeconds.toFixed(1)} s of processor time), ${corpusSize} inputs reach ${covered} places, ${findings.length} findings\n`;
  return head + findings.map(({ signature, path }) => `  ${signature}\n  ${relative(ROOT, path)}\n`).join('');
}
