import { spawn } from 'node:child_process';

export interface RunResult {
  /** Exit code; null when a signal ended the process. */
  status: number | null;
  /** stdout and stderr as they came. */
  output: string;
}

export interface RunOptions {
  cwd: string;
  env?: NodeJS.ProcessEnv;
  /** Milliseconds after which the process is killed and the run fails. */
  timeout?: number;
}

/** The environment of this process without what Nx and jest put there, so that a run doesn't depend on who started it. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(NX_|JEST_|npm_|NODE_OPTIONS$|NODE_ENV$|INIT_CWD$)/.test(name),
  );
  return { ...Object.fromEntries(kept), NO_COLOR: '1', FORCE_COLOR: '0', CI: 'true' };
}

/** Runs a program to its end, without a terminal and without input. */
export function run(command: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const { cwd, env = cleanEnvironment(), timeout = 240_000 } = options;
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const collect = (chunk: Buffer): void => {
      output += chunk.toString('utf8');
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${command} ${args.join(' ')} took longer than ${timeout} ms:\n${output}`));
    }, timeout);
    child.once('error', reject);
    child.once('close', (status) => {
      clearTimeout(timer);
      resolve({ status, output });
    });
  });
}

/** The same for a program that has to succeed. */
export async function runOk(command: string, args: readonly string[], options: RunOptions): Promise<string> {
  const { status, output } = await run(command, args, options);
  if (status !== 0) {
    throw new Error(`${command} ${args.join(' ')} ended with ${status}:\n${output}`);
  }
  return output;
}
