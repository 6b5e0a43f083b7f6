/** Lists the cases in which a newer igvmfilegen differs from the recorded one. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CASE_FILES, type ConformanceCase, conformanceCases, digestsOf, placeCase, SUITES } from './cases';
import { makeInputs } from './make-inputs';

const HELP = `IGVMFILEGEN=path npm run reference-changes -- [--suite cases-head]

Runs the recorded cases through the igvmfilegen at that path and lists those with which it does something else: it builds what was
refused, refuses what was built, or writes other bytes. What it wrote stays in tmp/reference-changes; the exit code is then 1.
Suites: ${SUITES.join(', ')}; all by default.`;

/** How the result of a case differs from the recorded one; undefined if it doesn't. */
export function change(
  program: string,
  { name, args, outcome, sha256 }: ConformanceCase,
  cwd: string,
): string | undefined {
  const { error, status, signal, stderr } = spawnSync(
    program,
    ['manifest', '-m', 'manifest.json', '-r', 'resources.json', '-o', 'out.igvm', ...args],
    { cwd, encoding: 'utf8', env: { ...process.env, RUST_BACKTRACE: '0' } },
  );
  if (error !== undefined) throw error;
  const said = stderr
    .split('\n')
    .filter((line) => line.trim() !== '' && !/\b(?:INFO|WARN)\b/.test(line))
    .slice(-3)
    .join(' | ');
  if (status !== 0) return outcome === 'build' ? `${name}: refused now (${signal ?? status}): ${said}` : undefined;
  if (outcome === 'reject') return `${name}: built now`;
  const written = digestsOf(cwd, CASE_FILES);
  const files = [...new Set([...Object.keys(sha256 ?? {}), ...Object.keys(written)])];
  const unlike = files.filter((file) => sha256?.[file] !== written[file]);
  return unlike.length === 0 ? undefined : `${name}: other bytes in ${unlike.join(', ')}`;
}

/** Ends with exit code 1 where a case has changed. */
export function main(args: string[]): void {
  const { values } = parseArgs({ args, options: { suite: { type: 'string' }, help: { type: 'boolean' } } });
  const program = process.env['IGVMFILEGEN'];
  if (values.help || program === undefined) {
    console.log(HELP);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const kept = join(__dirname, '..', 'tmp', 'reference-changes');
  rmSync(kept, { recursive: true, force: true });
  const inputs = join(kept, 'inputs');
  makeInputs(inputs);
  const cases = conformanceCases(values.suite === undefined ? SUITES : [values.suite]);
  let changes = 0;
  for (const each of cases) {
    const cwd = join(kept, each.name);
    mkdirSync(cwd, { recursive: true });
    placeCase(each.name, cwd, inputs);
    const found = change(program, each, cwd);
    if (found === undefined) {
      rmSync(cwd, { recursive: true });
      continue;
    }
    changes++;
    console.log(found);
  }
  console.log(`${changes} of ${cases.length} cases have changed`);
  if (changes > 0) process.exitCode = 1;
}
