/** The console of a guest: input and output, on a terminal and through Nx. */
import { spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fakeQemu } from '../src/boot/fake-vmm.fixture';
import { EMBEDDED, manifest, processesWith } from './boot-guest';
import { GUEST_READY, makeBootInitrd } from './boot-initrd';
import { debianKernel } from './debian-kernel';
import { cleanEnvironment, type RunResult } from './harness/run';
import { NX_ENVIRONMENT } from './harness/template';
import { Workspace } from './harness/workspace';
import { extractVmlinux } from './vmlinux';

describe('the console of a guest', () => {
  let workspace: Workspace;
  beforeAll(async () => {
    workspace = await Workspace.create();
    workspace.write('boot/vmlinux', extractVmlinux(debianKernel().vmlinuz));
    await makeBootInitrd(workspace.path('boot/initrd.cpio.gz'));
    workspace.writeJson('elf-image/igvm.json', manifest(EMBEDDED, 'vmlinux'));
    await workspace.nxOk('build', 'elf-image');
  });
  afterAll(() => workspace.dispose());

  /**
   * Runs a shell command on its own terminal, types into it, and returns the content of the screen.
   * @param typing texts to wait for on the screen, in this order, each with what is typed then
   */
  async function onTerminal(
    command: string,
    typing: [after: RegExp, keys: string | ((screen: string) => void)][],
  ): Promise<string> {
    const script = spawn('script', ['-qefc', command, '/dev/null'], {
      cwd: workspace.root,
      env: {
        ...cleanEnvironment(),
        ...NX_ENVIRONMENT,
        NX_CACHE_DIRECTORY: workspace.path('.nx/c'),
        TERM: 'xterm',
        SHELL: '/bin/sh',
      },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let screen = '';
    let from = 0;
    script.stdout.on('data', (bytes: Buffer) => {
      screen += bytes.toString();
      const [next] = typing;
      if (next === undefined || !next[0].test(screen.slice(from))) return;
      from = screen.length;
      typing.shift();
      if (typeof next[1] === 'string') script.stdin.write(next[1]);
      else next[1](screen);
    });
    // This is only for hangs. On a busy machine a boot takes long.
    const timer = setTimeout(() => script.kill(), 240_000);
    await new Promise((resolve) => script.on('close', resolve));
    clearTimeout(timer);
    expect({ left: typing.map(([after]) => String(after)), screen: typing.length > 0 ? screen : '' }).toEqual({
      left: [],
      screen: '',
    });
    return screen;
  }

  const SHELL = '--accel=tcg --command-line="console=ttyS0 panic=-1 shell"';
  const PROMPT = /[/~] [#$] /;

  it.each([
    ['nx-igvm boot', `boot dist/elf-image/elf-image.igvm`],
    ['nx boot', `boot elf-image`],
  ])('passes input on to the guest, and restores the terminal: %s', async (program, args) => {
    const command = `before=$(stty -g); node_modules/.bin/${program.split(' ')[0]} ${args} ${SHELL}; echo "ended: $?"; test "$before" = "$(stty -g)" && echo same terminal`;
    const screen = await onTerminal(command, [
      [PROMPT, 'echo hello-$((6*7))\r'],
      [/\nhello-42\r*\n/, 'echo start""ed; sleep 100; echo code-$?\r'],
      [/\nstarted\r*\n/, '\x03'],
      [/[#$] /, 'echo next-$((1+1))\r'],
      [/\nnext-2\r*\n/, '\x01x'],
    ]);
    expect(screen).toContain('Ctrl-a x ends the run');
    expect(screen).not.toContain('code-0');
    expect(screen).toMatch(/ended: 0\r*\nsame terminal/);
  });

  it('restores the terminal and ends the VM when it is killed', async () => {
    const name = `nx-igvm-e2e-tty-${process.pid}`;
    const command = `before=$(stty -g); node_modules/.bin/nx-igvm boot dist/elf-image/elf-image.igvm ${SHELL} -- -name ${name}; sleep 1; test "$before" = "$(stty -g)" && echo same terminal`;
    const kill = (): void => {
      const pids = processesWith(name, 'boot').filter((pid) => !/sh$|script$/.test(readlinkSync(`/proc/${pid}/exe`)));
      expect(pids).toHaveLength(1);
      process.kill(pids[0]!, 'SIGKILL');
    };
    expect(await onTerminal(command, [[PROMPT, kill]])).toContain('same terminal');
    for (let tries = 0; tries < 50 && processesWith(name).length > 0; tries++) await sleep(100);
    expect(processesWith(name)).toEqual([]);
  });

  it('runs a boot test each time, and never from the cache', async () => {
    const test = async (...more: string[]): Promise<RunResult> =>
      workspace.nx('boot-test', 'tested', '--accel=tcg', ...more);
    workspace.writeJson('tested/igvm.json', {
      ...manifest(EMBEDDED, 'vmlinux'),
      boot_test: { until: '^guest: done$', timeout: 120 },
    });
    await workspace.nxOk('build', 'tested');
    const [passes, fails] = await Promise.all([test(), test('--until=^no such line$')]);
    expect(passes).toMatchObject({ status: 0, output: expect.stringContaining(GUEST_READY) as string });
    expect(fails.status).not.toBe(0);
    expect(fails.output).toContain('[BOOT_NO_MATCH]');
    expect((await test()).output).toContain(GUEST_READY);
  });

  it('shows the last line of a guest if its VMM fails, through Nx', async () => {
    const vmmPath = fakeQemu(workspace.outside, {
      script: `process.stdout.write('x'.repeat(200000) + '\\nKernel panic - not syncing');`,
      exitCode: 3,
    });
    const { status, output } = await workspace.nx('boot', 'elf-image', '--accel=tcg', `--vmm-path=${vmmPath}`);
    expect(status).not.toBe(0);
    expect(output).toContain('Kernel panic - not syncing');
    expect(output).toContain('[VMM_FAILED]');
  });

  it('starts no VM for a misspelt option', async () => {
    const { status, output } = await workspace.nx('boot', 'elf-image', '--accel=tcg', '--comandLine=x');
    expect(status).not.toBe(0);
    expect(output).toContain('did you mean "--command-line"?');
    expect(output).not.toMatch(/Linux version|boots the image/);
  });

  // Uses the fastest boot: bytes could be lost while Linux prints its backlog on a busy machine.
  it('loses no byte of the guest’s output', async () => {
    const boots = Number(process.env['NX_IGVM_BOOTS'] ?? 4);
    const logs = new Set<string>();
    for (let boot = 0; boot < boots; boot++) {
      const { output } = await workspace.nx(
        'boot',
        'elf-image',
        '--accel=tcg',
        '--cpus=1',
        '--until=NX .Execute Disable. protection',
        '--timeout=120',
      );
      expect(output).toContain('BIOS-provided physical RAM map:');
      logs.add(steadyLines(output));
    }
    expect(logs.size).toBe(1);
  });
});

/** The lines of Linux up to the first that depends on the speed of the machine. They accumulate until the console exists. */
const steadyLines = (output: string): string =>
  output
    .slice(0, output.indexOf('NX (Execute Disable)'))
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('[    0.000000] '))
    .join('\n');
