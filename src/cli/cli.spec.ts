import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folder = mkdtempSync(join(tmpdir(), 'cli-'));
const program = join(folder, 'cli.js');
afterAll(() => rmSync(folder, { recursive: true }));

// In a process of its own, because Jest can't load the bundler, an ES module.
beforeAll(() => {
  const [input, file] = [join(__dirname, 'cli.ts'), program].map((path) => JSON.stringify(path));
  const script = `import { build } from 'rolldown'; await build({ input: ${input}, platform: 'node', output: { file: ${file}, format: 'cjs' } });`;
  execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: __dirname, stdio: 'pipe' });
});

type Output = 'pipe' | 'ignore' | number;

/** A script that runs with the environment of a command. */
const start = (script: string, stdout: Output = 'pipe'): ChildProcess =>
  spawn(
    process.execPath,
    ['-e', `const environment = require(${JSON.stringify(program)}).processEnvironment(); ${script}`],
    { stdio: ['ignore', stdout, 'pipe'] },
  );

/** The exit code of a child process, and its output. */
function outcome(child: ChildProcess): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name]?.on('data', (text: Buffer) => void (texts[name] += text.toString()));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, ...texts })));
}

describe('a command', () => {
  it('ends quietly when nobody reads its output any more', async () => {
    const child = start("setInterval(() => environment.stdout('x'.repeat(2 ** 16)), 1)");
    child.stdout!.destroy();
    expect(await outcome(child)).toMatchObject({ code: 141, stderr: '' });
  });

  it('goes on when nobody reads its messages', async () => {
    const child = start("for (let i = 0; i < 9; i++) environment.stderr('warning'); process.exitCode = 7;");
    child.stderr!.destroy();
    expect(await outcome(child)).toMatchObject({ code: 7 });
  });

  it('writes a long output completely and in order to a slow reader', async () => {
    const child = start('for (let i = 0; i < 40; i++) environment.stdout(String(i % 10).repeat(100_000));');
    await new Promise((resolve) => child.stdout!.once('readable', resolve));
    const { code, stdout } = await outcome(child);
    expect(code).toBe(0);
    expect(stdout).toBe(Array.from({ length: 40 }, (_, i) => String(i % 10).repeat(100_000)).join(''));
  });

  const full = '/dev/full';
  (existsSync(full) ? it : it.skip)('reports a full disk when its output is a file', async () => {
    const child = start("environment.stdout('text'); environment.stderr('never');", openSync(full, 'w'));
    expect(await outcome(child)).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(
        /^error: standard output: cannot be written: the disk is full \[FILE_UNWRITABLE\]\n/,
      ),
    });
  });

  it('is not interactive when its messages go to a pipe', async () => {
    expect((await outcome(start('environment.stdout(String(environment.isInteractive))'))).stdout).toBe('false');
  });
});
