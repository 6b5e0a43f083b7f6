import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { REPOSITORY } from './harness/template';

/** A stock Debian kernel: the newest installed one, or Debian's current one, downloaded. */
export function debianKernel(): { vmlinuz: string; version: string } {
  const script = join(REPOSITORY, 'scripts', 'debian-kernel.mjs');
  const json = execFileSync(process.execPath, [script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  return JSON.parse(json) as { vmlinuz: string; version: string };
}
