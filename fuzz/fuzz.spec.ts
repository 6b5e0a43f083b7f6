import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TARGETS } from './targets';
import type { FuzzResult } from './engine/job';

/** Of each target; the whole run takes a third of a minute of processor time. */
const EXECUTIONS = 400;

/** Runs the command in a process of its own, as instrumented code can't run within jest. */
const fuzz = (findings: string): FuzzResult[] =>
  JSON.parse(
    execFileSync(
      process.execPath,
      [join(__dirname, 'fuzz.cjs'), '--all', '--executions', String(EXECUTIONS), '--json', '--findings', findings],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    ),
  ) as FuzzResult[];

describe('each way into the product for bytes of others', () => {
  let folder: string;
  let results: FuzzResult[];

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-fuzz-'));
    try {
      results = fuzz(folder);
    } catch (error) {
      // Findings are told by the exit code, too; the results come all the same.
      results = JSON.parse((error as { stdout: string }).stdout) as FuzzResult[];
    }
  }, 300_000);
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each(TARGETS.map(({ name, about }) => [name, about]))(
    'survives all inputs that were kept, and some new ones: %s (%s)',
    (name) => {
      const result = results.find(({ target }) => target === name);
      expect(result?.findings.map(({ signature, details }) => `${signature}\n${details}`)).toEqual([]);
      expect(result?.executions).toBeGreaterThanOrEqual(EXECUTIONS);
    },
  );
});
