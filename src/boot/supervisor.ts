import type { ChildProcess } from 'node:child_process';

/**
 * Runs in a process of its own, between us and a VMM, so that the VMM ends when we do, however we end: a process that is
 * killed outright can't clean up, but its end of a pipe closes. Arguments: a folder to remove at the end ('' for none),
 * the program, its arguments. The VMM's process number goes to file descriptor 3, so that we can kill it should this
 * process be killed.
 *
 * Its source text is what the process is given: it uses nothing from outside its body.
 */
export function supervise(): void {
  const { spawn } = require('node:child_process') as typeof import('node:child_process');
  const fs = require('node:fs') as typeof import('node:fs');
  const [folder = '', program = '', ...args] = process.argv.slice(1);
  const GRACE = 2000;

  const end = (code: number): void => {
    if (folder !== '') fs.rmSync(folder, { recursive: true, force: true });
    process.exit(code);
  };
  const vmm: ChildProcess = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  const stop = (signal: NodeJS.Signals): void => {
    vmm.kill(signal);
    setTimeout(() => vmm.kill('SIGKILL'), GRACE);
  };
  vmm.on('error', (error) => {
    process.stderr.write(`${error.message}\n`);
    end(127);
  });
  vmm.on('exit', (code) => end(code ?? 1));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(signal));
  process.stdin.on('end', () => stop('SIGTERM'));
  process.stdin.on('error', () => stop('SIGTERM'));
  process.stdin.resume();
  try {
    fs.writeSync(3, `${vmm.pid}\n`);
  } catch {
    // Nobody reads it any more; then the pipe on stdin is closed, too.
  }
}
