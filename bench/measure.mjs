// Runs one program as a whole process and returns its cost: wall time from here, CPU time and peak memory from the system.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100; // USER_HZ, the same on every Linux architecture

/** Milliseconds between readings of the counters, which take processor time from the measured program. */
const POLL_MS = 10;

/** CPU seconds and peak bytes so far of a live process and its finished children; undefined if it has ended. */
function look(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').pop().split(' ');
    const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0);
    const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
    return { cpu: ticks / TICKS_PER_SECOND, peak: peak ? Number(peak[1]) * 1024 : 0 };
  } catch {
    return undefined;
  }
}

/**
 * Runs `command` and resolves to `{ wall, cpu, peak }` in seconds, seconds and bytes.
 * Node programs report exact figures at their exit (bench/report-usage.cjs), `user` and `read` too (seconds, bytes), and anything in
 * `process.benchFigures`. For others, the
 * kernel's counters are read every 10 ms, so the CPU time of a very short run can be too low by that much.
 */
export function measure(command, args, { cwd, env = process.env } = {}) {
  return new Promise((resolve, reject) => {
    const start = process.hrtime.bigint();
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], env, cwd });
    let stderr = '';
    let seen = { cpu: 0, peak: 0 };
    let exact;
    const timer = setInterval(() => {
      const now = look(child.pid);
      if (now) seen = { cpu: Math.max(seen.cpu, now.cpu), peak: Math.max(seen.peak, now.peak) };
    }, POLL_MS);
    child.on('message', (usage) => {
      // Other programs may send messages of their own to their parent.
      if (typeof usage?.cpu === 'number') exact = usage;
    });
    child.stderr.on('data', (data) => {
      stderr += data;
    });
    child.on('error', reject);
    child.on('close', (code) => {
      clearInterval(timer);
      const wall = Number(process.hrtime.bigint() - start) / 1e9;
      if (code !== 0) reject(new Error(`${command} ${args.join(' ')} ended with ${code}: ${stderr.slice(-600)}`));
      else resolve({ wall, ...(exact ?? seen) });
    });
  });
}

/** The median. */
export const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/**
 * Runs the given functions in turn, `rounds` times after a warm-up round, and returns the median figures of each; undefined for one
 * without figures.
 */
export async function paired(rounds, ...functions) {
  const results = functions.map(() => []);
  for (let round = -1; round < rounds; round++) {
    for (const [index, run] of functions.entries()) {
      const result = await run();
      if (round >= 0 && result !== undefined) results[index].push(result);
    }
  }
  return results.map((runs) => (runs.length === 0 ? undefined : medians(runs)));
}

const medians = (runs) => ({
  wall: median(runs.map((run) => run.wall)),
  cpu: median(runs.map((run) => run.cpu)),
  user: median(runs.map((run) => run.user ?? 0)),
  read: median(runs.map((run) => run.read ?? 0)),
  peak: Math.max(...runs.map((run) => run.peak)),
});
