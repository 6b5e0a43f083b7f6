import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TARGETS } from './targets';
import type { FuzzResult } from './engine/job';

/** Mutants of each target; the whole run takes about 20 s of processor time. */
const EXECUTIONS = 400;

const command = (...args: string[]) =>
  spawnSync(process.execPath, [join(__dirname, 'fuzz.cjs'), ...args], { encoding: 'utf8' });

/** Runs the command in its own process, because instrumented code can't run within Jest. */
function fuzz(findings: string): FuzzResult[] {
  const { status, signal, stdout, stderr } = command(
    '--all',
    '--executions',
    String(EXECUTIONS),
    '--json',
    '--findings',
    findings,
  );
  // The exit code is not zero after findings, but the results are printed.
  if (stdout === '') throw new Error(`the fuzzer ended with ${signal ?? status}:\n${stderr}`);
  return JSON.parse(stdout) as FuzzResult[];
}

it.each([
  ['--seconds', 'abc'],
  ['--seed', '1.5'],
])('the command refuses %s %s, because it would never end or do nothing', (option, value) => {
  const { status, stderr } = command('--target', 'elf', `${option}=${value}`);
  expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining(`${option} must be a `) });
});

describe('each reader of untrusted bytes', () => {
  let folder: string;
  let results: FuzzResult[];

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-fuzz-'));
    results = fuzz(folder);
  }, 300_000);
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each(TARGETS.map(({ name, about }) => [name, about]))(
    'handles all kept inputs, and some new ones: %s (%s)',
    (name) => {
      const result = results.find(({ target }) => target === name);
      expect(result?.findings.map(({ signature, details }) => `${signature}\n${details}`)).toEqual([]);
      expect(result?.executions).toBeGreaterThanOrEqual(EXECUTIONS);
    },
  );
});
