import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface RunResult {
  /** Exit code; null when a signal ended the process. */
  status: number | null;
  /** stdout and stderr, interleaved. */
  output: string;
}

export interface RunOptions {
  cwd: string;
  env?: NodeJS.ProcessEnv;
  /** Milliseconds after which the process is killed and the run fails. */
  timeout?: number;
  /** User and group of the program; only root may set them. */
  uid?: number;
}

/** The environment of this process without variables of Nx and Jest, so that a run doesn't depend on its caller. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(NX_|JEST_|npm_|NODE_OPTIONS$|NODE_ENV$|INIT_CWD$)/.test(name),
  );
  return { ...Object.fromEntries(kept), NO_COLOR: '1', FORCE_COLOR: '0', CI: 'true' };
}

/**
 * Runs a program to its end, without a terminal and without input. Its output goes through a file, because Nx exits without
 * waiting for a pipe to take all of it.
 */
export async function run(command: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  const folder = mkdtempSync(join(tmpdir(), 'nx-igvm-run-'));
  const path = join(folder, 'output');
  const fd = openSync(path, 'w');
  try {
    const status = await spawned(command, args, options, fd);
    return { status, output: readFileSync(path, 'utf8') };
  } catch (error) {
    throw new Error(`${command} ${args.join(' ')}: ${(error as Error).message}\n${readFileSync(path, 'utf8')}`, {
      cause: error,
    });
  } finally {
    closeSync(fd);
    rmSync(folder, { recursive: true, force: true });
  }
}

function spawned(command: string, args: readonly string[], options: RunOptions, fd: number): Promise<number | null> {
  const { cwd, env = cleanEnvironment(), timeout = 240_000, uid } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', fd, fd], detached: true, uid, gid: uid });
    const timer = setTimeout(() => {
      // Kill it with its child processes.
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      reject(new Error(`took longer than ${timeout} ms`));
    }, timeout);
    child.once('error', reject);
    child.once('exit', (status) => {
      clearTimeout(timer);
      resolve(status);
    });
  });
}

/** Like {@link run}, for a program that has to succeed. */
export async function runOk(command: string, args: readonly string[], options: RunOptions): Promise<string> {
  const { status, output } = await run(command, args, options);
  if (status !== 0) {
    throw new Error(`${command} ${args.join(' ')} ended with ${status}:\n${output}`);
  }
  return output;
}
