import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IGVMFILEGEN, NX_IGVM, type ProgramDescription } from '../src/cli/programs';
import { CASE_FILES, conformanceCases, digestsOf, type Outcome, placeCase, runProgram } from './cases';
import { makeInputs } from './make-inputs';

const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-conformance-'));
const inputs = join(folder, 'inputs');

beforeAll(() => makeInputs(inputs));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs one case in its own folder. @returns its outcome and the digests of the files that it wrote */
async function runCase(
  program: ProgramDescription,
  name: string,
  args: string[],
): Promise<Outcome & { files: object }> {
  const cwd = join(folder, `${program.name}-${name}`);
  placeCase(name, cwd, inputs);
  const outcome = await runProgram(program, args, cwd);
  const files = digestsOf(cwd, CASE_FILES);
  rmSync(cwd, { recursive: true });
  return { ...outcome, files };
}

const COMMAND_LINES: { name: string; program: ProgramDescription; args: string[] }[] = [
  {
    name: 'igvmfilegen manifest',
    program: IGVMFILEGEN,
    args: ['manifest', '-m', 'manifest.json', '-r', 'resources.json', '-o', 'out.igvm'],
  },
  {
    name: 'nx-igvm build',
    program: NX_IGVM,
    args: ['build', 'manifest.json', '-r', 'resources.json', '-o', 'out.igvm', '--debug-validation'],
  },
];

const cases = conformanceCases();
const built = cases.filter(({ outcome }) => outcome === 'build');
const refused = cases.filter(({ outcome }) => outcome === 'reject');

it('has an expected result for each case', () => {
  const vague = cases.filter(({ outcome, sha256, code }) => (outcome === 'build' ? sha256 : code) === undefined);
  expect(vague).toEqual([]);
  expect(built.length + refused.length).toBe(cases.length);
});

describe.each(COMMAND_LINES)('$name', ({ program, args }) => {
  it.each(built)('builds $name byte for byte', async ({ name, args: flags, sha256 }) => {
    const { exitCode, stderr, files } = await runCase(program, name, [...args, ...flags]);
    expect({ exitCode, errors: stderr.replaceAll(/^warning: .*\n/gm, '') }).toEqual({ exitCode: 0, errors: '' });
    expect(files).toEqual(sha256);
  });

  it.each(refused)('refuses $name with a clear error, and writes nothing', async ({ name, args: flags, code }) => {
    const { exitCode, stdout, stderr, files } = await runCase(program, name, [...args, ...flags]);
    expect(files).toEqual({});
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    const [, found] = /^(?:warning: .*\n)*error: .+ \[([A-Z0-9_]+)\]\n/.exec(stderr) ?? [];
    expect({ code: found, stderr }).toMatchObject({ code });
    expect(stderr).not.toMatch(/\n\s+at |internal error|bug in nx-igvm/);
  });
});
