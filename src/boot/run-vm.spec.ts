import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { transformSync } from '@swc/core';
import { runVm, type VmRun } from './run-vm';

/** A VMM whose "guest" is a JavaScript. It prints its own process number and its parent's, the supervisor's, first. */
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
    runVm({ ...guest(script), stdout: (text) => void (output += text), stderr: () => undefined, ...options });

  it('shows what it prints and how it ends, and removes its folder', async () => {
    const end = await run('console.log("hello"); console.error("oops\\n"); process.exitCode = 3', { folder });
    expect(end).toEqual({ by: 'exited', exitCode: 3, signal: undefined, messages: 'oops\n\n' });
    expect(output).toContain('hello');
    expect(existsSync(folder)).toBe(false);
  });

  it('says when there is no such program', async () => {
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

  it('decodes characters that come in pieces', async () => {
    const script =
      'process.stdout.write(Buffer.of(0xc3)); setTimeout(() => process.stdout.write(Buffer.of(0xa4)), 100)';
    await run(script);
    expect(output).toMatch(/ä$/);
  });

  it('ends it when the time is over', async () => {
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

  it('ends it when it is told to', async () => {
    const controller = new AbortController();
    const ending = run(FOREVER, {
      signal: controller.signal,
      stdout: (text) => (output += text) && controller.abort(),
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
    /** Another process that runs a VMM, and prints how that ended. */
    async function other(script: string): Promise<{ runner: ChildProcess; output: () => string; vmm: number }> {
      for (const name of ['run-vm', 'supervisor']) {
        const typescript = readFileSync(join(__dirname, `${name}.ts`), 'utf8');
        const { code } = transformSync(typescript, {
          jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
          module: { type: 'commonjs' },
        });
        writeFileSync(join(folder, `${name}.js`), code);
      }
      mkdirSync(join(folder, 'vm'));
      const main = `
        const { runVm } = require(${JSON.stringify(join(folder, 'run-vm.js'))});
        const write = (text) => process.stdout.write(text);
        const [program, args, folder] = ${JSON.stringify([process.execPath, guest(script).args, join(folder, 'vm')])};
        runVm({ program, args, folder, stdout: write, stderr: write }).then((end) => write(JSON.stringify(end)));`;
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
