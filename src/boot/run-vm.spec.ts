import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Writable } from 'node:stream';
import { collecting } from './fake-vmm.fixture';
import { looksAhead, OutputPattern, runVm, type VmRun } from './run-vm';
import { compileTo } from '../files/program-file.fixture';

/** A VMM whose "guest" is a script. It first prints its process ID and that of its parent, the supervisor. */
const guest = (script: string): { program: string; args: string[] } => ({
  program: process.execPath,
  args: ['-e', `console.log('pids', process.pid, process.ppid); ${script}`],
});

const FOREVER = 'setInterval(() => {}, 1000);';
const STUBBORN = `process.on('SIGTERM', () => {}); ${FOREVER}`;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function ended(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 100 && isAlive(pid); tries++) await sleep(50);
  return !isAlive(pid);
}

const pids = (output: string): { vmm: number; supervisor: number } => {
  const [, vmm, supervisor] = /pids (\d+) (\d+)/.exec(output) ?? [];
  return { vmm: Number(vmm), supervisor: Number(supervisor) };
};

describe('running a VMM', () => {
  let folder: string;
  let output: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nx-igvm-run-'));
    output = '';
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const run = (script: string, options: Partial<VmRun> = {}) =>
    runVm({ ...guest(script), stdout: collecting((text) => (output += text)), stderr: () => undefined, ...options });

  it('shows its output and how it ends, and removes its folder', async () => {
    const end = await run('console.log("hello"); console.error("oops\\n"); process.exitCode = 3', { folder });
    expect(end).toEqual({ by: 'exited', exitCode: 3, messages: 'oops\n\n' });
    expect(output).toContain('hello');
    expect(existsSync(folder)).toBe(false);
  });

  it('reports a missing program', async () => {
    const end = await run('', { program: join(folder, 'missing') });
    expect(end).toMatchObject({ by: 'exited', exitCode: 127, messages: expect.stringContaining('ENOENT') as string });
  });

  it('ends it when its output matches, across pieces and carriage returns', async () => {
    const script = `process.stdout.write('log'); setTimeout(() => process.stdout.write('in:\\r\\n'), 100); ${FOREVER}`;
    const end = await run(script, { until: /^login:$/m, folder });
    expect(end.by).toBe('matched');
    expect(await ended(pids(output).vmm)).toBe(true);
    expect(existsSync(folder)).toBe(false);
  });

  it('treats a last line without a line end as complete when the VMM exits, unless the VMM failed', async () => {
    expect((await run('process.stdout.write("failed: 0")', { until: /^failed: 0$/m })).by).toBe('matched');
    const crash = 'process.stdout.write("failed: 0"); process.exitCode = 1';
    expect(await run(crash, { until: /^failed: 0$/m })).toMatchObject({ by: 'exited', exitCode: 1 });
    const hang = `process.stdout.write("failed: 1"); ${FOREVER}`;
    const end = await run(hang, { until: /^failed: 1$/m, timeout: 1500 });
    expect(end).toMatchObject({ by: 'timeout', unfinished: 'failed: 1' });
  });

  it('ends it when the guest has halted', async () => {
    const end = await run(`console.log('System halted'); ${FOREVER}`, { halted: /^System halted$/m, until: /never/ });
    expect(end.by).toBe('halted');
    expect(await ended(pids(output).vmm)).toBe(true);
  });

  describe('whose guest prints byte by byte, as a UART does', () => {
    /** Writes bytes one at a time: all 256 values, repeatedly. As in Linux, a byte that isn't accepted within 10 ms is lost. */
    const UART = (count: number): { program: string; args: string[] } => ({
      program: 'python3',
      args: [
        '-c',
        `import os, time
os.set_blocking(1, False)
lost = 0
for i in range(${count}):
    start = time.monotonic()
    while True:
        try:
            os.write(1, bytes([i & 255])); break
        except BlockingIOError:
            if time.monotonic() - start > 0.01: lost += 1; break
            time.sleep(0.001)
import sys; sys.stderr.write(f"lost {lost}\\n")`,
      ],
    });
    const hasPython = spawnSync('python3', ['--version']).status === 0;
    const bytesOf = async (count: number, target: (bytes: Buffer, done: () => void) => void) => {
      const taken: Buffer[] = [];
      const slow = new Writable({
        highWaterMark: 1,
        write: (bytes: Buffer, _, done) => {
          taken.push(bytes);
          target(bytes, done);
        },
      });
      const { messages } = await run('', { ...UART(count), stdout: slow });
      return { bytes: Buffer.concat(taken), messages };
    };

    (hasPython ? it : it.skip)('loses and changes nothing, even while the reader is busy', async () => {
      // A pipe of Node accepts 278 bytes without a reader.
      const { bytes, messages } = await bytesOf(60_000, (_, done) => {
        const until = Date.now() + 100;
        while (Date.now() < until);
        done();
      });
      expect(messages).toContain('lost 0');
      expect(bytes.equals(Buffer.from(Array.from({ length: 60_000 }, (_, index) => index & 255)))).toBe(true);
    });
  });

  it('pauses a VMM that prints faster than its output is read, and loses nothing', async () => {
    const size = 40 << 20;
    const script = `require('node:fs').writeSync(2, 'x'); let left = ${size};
      const more = () => { for (; left > 0; left -= 65536) if (!process.stdout.write(Buffer.alloc(65536, 7))) { left -= 65536; process.stdout.once('drain', more); return; } process.stderr.write('done'); }; more();`;
    let count = 0;
    let free = (): void => undefined;
    const blocked = new Promise<void>((resolve) => (free = resolve));
    const slow = new Writable({
      write: (bytes: Buffer, _, done) => {
        count += bytes.length;
        void blocked.then(() => done());
      },
    });
    let said = '';
    const ending = run(script, { stdout: slow, stderr: (text) => (said += text) });
    while (!said.includes('x')) await sleep(20);
    await sleep(2000);
    expect(said).not.toContain('done');
    free();
    expect(await ending).toMatchObject({ by: 'exited', exitCode: 0 });
    expect(count).toBeGreaterThanOrEqual(size);
  });

  it('ends it when the time is up', async () => {
    const end = await run(FOREVER, { timeout: 500, until: /never/ });
    expect(end.by).toBe('timeout');
    expect(await ended(pids(output).vmm)).toBe(true);
  });

  it('kills one that doesn’t end by itself', async () => {
    const end = await run(STUBBORN, { timeout: 500, folder });
    expect(end).toMatchObject({ by: 'timeout', exitCode: 1 });
    expect(isAlive(pids(output).vmm)).toBe(false);
    expect(existsSync(folder)).toBe(false);
  });

  it('ends it on request', async () => {
    const controller = new AbortController();
    const ending = run(FOREVER, {
      signal: controller.signal,
      stdout: collecting((text) => (output += text) && controller.abort()),
    });
    expect((await ending).by).toBe('stopped');
    expect((await run(FOREVER, { signal: AbortSignal.abort() })).by).toBe('stopped');
  });

  it('kills it when its supervisor is killed', async () => {
    const ending = run(STUBBORN, { folder });
    while (!output.includes('\n')) await sleep(20);
    const { vmm, supervisor } = pids(output);
    process.kill(supervisor, 'SIGKILL');
    expect(await ending).toMatchObject({ exitCode: undefined });
    expect(await ended(vmm)).toBe(true);
    expect(existsSync(folder)).toBe(false);
  });

  describe('from a process that is ended', () => {
    /** Another process that runs a VMM, and prints how it ended. */
    async function other(script: string): Promise<{ runner: ChildProcess; output: () => string; vmm: number }> {
      compileTo(folder, ['boot/run-vm', 'boot/supervisor']);
      mkdirSync(join(folder, 'vm'));
      const main = `
        const { runVm, stopOnSignals } = require(${JSON.stringify(join(folder, 'boot', 'run-vm.js'))});
        const stdout = process.stdout;
        const { signal, name, release } = stopOnSignals();
        const [program, args, folder] = ${JSON.stringify([process.execPath, guest(script).args, join(folder, 'vm')])};
        runVm({ program, args, folder, stdout, stderr: (text) => stdout.write(text), signal }).then((end) => {
          release();
          stdout.write(JSON.stringify({ ...end, signal: name() }));
        });`;
      let text = '';
      const runner = spawn(process.execPath, ['-e', main], { stdio: ['ignore', 'pipe', 'inherit'] });
      runner.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
      while (!text.includes('\n')) await sleep(20);
      return { runner, output: () => text, vmm: pids(text).vmm };
    }
    const closed = (child: ChildProcess): Promise<unknown> => new Promise((resolve) => child.on('close', resolve));

    it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('by %s, ends the VMM first', async (signal) => {
      const { runner, output: text, vmm } = await other(FOREVER);
      runner.kill(signal);
      await closed(runner);
      expect(text()).toContain(`"by":"stopped"`);
      expect(text()).toContain(`"signal":"${signal}"`);
      expect(isAlive(vmm)).toBe(false);
      expect(existsSync(join(folder, 'vm'))).toBe(false);
    });

    it('by SIGKILL, leaves neither a VMM nor its files', async () => {
      const { runner, vmm } = await other(STUBBORN);
      runner.kill('SIGKILL');
      expect(await ended(vmm)).toBe(true);
      for (let tries = 0; tries < 40 && existsSync(join(folder, 'vm')); tries++) await sleep(50);
      expect(existsSync(join(folder, 'vm'))).toBe(false);
    });
  });
});

/** The results of a pattern for output in pieces, up to the first match and at the end. */
function looking(pattern: RegExp, ...pieces: string[]): (string | boolean)[] {
  const output = new OutputPattern(pattern);
  const answers: (string | boolean)[] = [];
  for (const piece of pieces) {
    if (output.take(Buffer.from(piece))) return [...answers, piece];
  }
  return [...answers, output.end()];
}

describe('a pattern in the output of a guest', () => {
  it.each([
    ['an end of line', /^tests failed: 1$/m],
    ['an end of a word', /^tests failed: 1\b/m],
    ['no end of a word', /^tests failed: 1\B/m],
    ['something that must not follow', /^tests failed: 1(?!\d)/m],
    ['something that must follow', /^tests failed: 1(?=$)/m],
  ])('with %s waits for the whole line', (_, pattern) => {
    const isThere = new RegExp(pattern).test('tests failed: 12');
    expect(looking(pattern, 'tests failed: 1', '2\r\n')).toEqual([isThere ? '2\r\n' : false]);
    const alone = new RegExp(pattern, 'm').test('tests failed: 1');
    expect(looking(pattern, 'tests failed: 1', '\r\n')).toEqual([alone ? '\r\n' : false]);
  });

  it('finds a prompt, which has no line end, immediately', () => {
    expect(looking(/^login: /m, '\nlog', 'in', ': ')).toEqual([': ']);
    expect(looking(/[$] $/m, '/ $ ')).toEqual([true]);
    expect(looking(/[$] /m, '/ $ ')).toEqual(['/ $ ']);
  });

  it('matches the last line at the end of the output', () => {
    expect(looking(/^done$/m, 'done')).toEqual([true]);
    expect(looking(/^done$/m, 'done!')).toEqual([false]);
  });

  it('finds only real empty lines', () => {
    expect(looking(/^$/m, 'a\n', 'b')).toEqual([false]);
    expect(looking(/^$/m, 'a\n')).toEqual([false]);
    expect(looking(/^$/m, 'a\n', '\n', 'b')).toEqual(['\n']);
  });

  it('recognises a last line that would match if it ended', () => {
    const output = new OutputPattern(/^failed: 1$/m);
    output.take(Buffer.from('x\nfailed: 1'));
    expect(output.matchingRest()).toBe('failed: 1');
    output.take(Buffer.from('2'));
    expect(output.matchingRest()).toBeUndefined();
  });

  it('may span lines, and characters that arrive in pieces', () => {
    expect(looking(/a[^]*z$/m, 'a\nb\n', 'z\n')).toEqual(['z\n']);
    const output = new OutputPattern(/ä/);
    expect([output.take(Buffer.of(0xc3)), output.take(Buffer.of(0xa4))]).toEqual([false, true]);
  });

  it('finds no start of a line where older text was dropped', () => {
    const output = new OutputPattern(/^x/m);
    expect(output.take(Buffer.from('a'))).toBe(false);
    for (let pieces = 0; pieces < 40; pieces++) expect(output.take(Buffer.from('x'.repeat(4096)))).toBe(false);
    expect(output.take(Buffer.from('\nx'))).toBe(true);
    const lines = new OutputPattern(/^b$/m);
    for (let pieces = 0; pieces < 40; pieces++) expect(lines.take(Buffer.from(`${'ab'.repeat(2048)}\n`))).toBe(false);
    expect(lines.take(Buffer.from('b\n'))).toBe(true);
  });
});

describe('a pattern looks ahead', () => {
  it.each(['a$', 'a\\b', '\\Ba', 'a(?=b)', 'a(?!b)', '[a]$', '\\\\\\b', '(?:a$)'])('as %s', (source) =>
    expect(looksAhead(source)).toBe(true),
  );
  it.each(['a', '^a', '[$]', '\\$', '[\\b]', '[\\]$]', '(?<=a)b', '(?<!a)b', '(?:a)', '(?<n>a)', '\\\\b'])(
    'not as %s',
    (source) => expect(looksAhead(source)).toBe(false),
  );
});
