import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, sep } from 'node:path';
import { CASE_FILES, conformanceCases, digestsOf, placeCase } from './cases';
import { makeInputs } from './make-inputs';

const DIST = join(__dirname, '..', 'dist');
const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-process-'));
const inputs = join(folder, 'inputs');

beforeAll(() => {
  if (!existsSync(DIST)) throw new Error('run `npm run build` first: these tests run the compiled commands');
  makeInputs(inputs);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const COMMAND_LINES = [
  { script: 'igvmfilegen.js', args: ['manifest', '-m', 'manifest.json', '-r', 'resources.json', '-o', 'out.igvm'] },
  { script: 'nx-igvm.js', args: ['build', 'manifest.json', '-r', 'resources.json', '-o', 'out.igvm'] },
];

/** One case of each kind: several guests, a refusal, a crash of the reference. */
const SAMPLE = ['multi-vbs-snp-tdx', 'snp-linux-direct', 'err-manifest-dup-key', 'err-openhcl-mem-4gb'].map(
  (name) => `cases/${name}`,
);

describe.each(COMMAND_LINES)('the process $script', ({ script, args }) => {
  const sample = conformanceCases().filter(({ name }) => SAMPLE.includes(name));

  it.each(sample)('treats $name like the reference', ({ name, args: flags, sha256 }) => {
    const cwd = mkdtempSync(join(folder, 'case-'));
    placeCase(name, cwd, inputs);
    const { status, stderr } = spawnSync(process.execPath, [join(DIST, 'cli', script), ...args, ...flags], {
      cwd,
      encoding: 'utf8',
    });
    expect({ status, files: digestsOf(cwd, CASE_FILES) }).toEqual(
      sha256 === undefined ? { status: 1, files: {} } : { status: 0, files: sha256 },
    );
    expect(stderr).toMatch(sha256 === undefined ? /^error: / : /^$/);
  });

  it('prints its version without loading any package', () => {
    const { status, stdout, stderr } = listModules(join(DIST, 'cli', script), '--version');
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringMatching(/^(nx-igvm|igvmfilegen) \d+\.\d+/) });
    expect(stderr).toContain(script);
    expect(stderr).not.toContain('node_modules');
  });
});

// Nx starts it for every target with such an input, in every command that computes hashes.
it('the script for `runtime` inputs loads no other package, and little of this one', () => {
  const { status, stderr } = listModules(join(DIST, 'plugin', 'hash-files.js'));
  const modules = stderr.split('\n').map((path) => relative(DIST, path).split(sep).join('/'));
  expect(status).toBe(0);
  // The bundler's choice of chunks depends on the other users of this code.
  const expected =
    /^(chunks\/(errors|failures|hashing|model)|errors\/printable|files\/regular-file|manifest\/image-files|resources\/resource-reference|plugin\/hash-files)\.js$/;
  expect(modules.filter((path) => !expected.test(path))).toEqual([]);
  expect(modules).toContain('plugin/hash-files.js');
});

// Nx loads it for every command.
it('the plugin loads no code that builds images', () => {
  const { status, stderr } = listModules(join(DIST, 'index.js'));
  const modules = stderr.split('\n').map((path) => relative(DIST, path).split(sep).join('/'));
  expect(status).toBe(0);
  expect(
    modules.filter((path) =>
      /^(chunks|igvm)\/(?!(errors|failures|hashing|model|picocolors|plugin|rolldown-runtime)\.js)/.test(path),
    ),
  ).toEqual([]);
  expect(modules).toContain('chunks/plugin.js');
});

/** Loads a script of the build, and writes the loaded modules to stderr. */
function listModules(script: string, ...args: string[]) {
  const list = `process.on('exit', () => process.stderr.write(Object.keys(require.cache).join('\\n')));`;
  return spawnSync(process.execPath, ['-e', `${list} require(process.argv[1])`, script, ...args], { encoding: 'utf8' });
}
