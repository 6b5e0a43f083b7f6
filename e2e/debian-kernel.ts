import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type Blocks, needing, skippedFor } from '../src/boot/needing.fixture';
import { REPOSITORY } from './harness/template';

/** A stock kernel: the newest in /boot, or Debian's current one, downloaded. */
export function debianKernel(architecture: 'amd64' | 'arm64' = 'amd64'): { vmlinuz: string; version: string } {
  const script = join(REPOSITORY, 'scripts', 'debian-kernel.mjs');
  const json = execFileSync(process.execPath, [script, architecture], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(json) as { vmlinuz: string; version: string };
}

/** Blocks of tests that boot such a kernel with these programs. */
export function needingKernel(architecture: 'amd64' | 'arm64', ...programs: string[]): Blocks {
  const blocks = needing(...programs);
  if (blocks.describe !== describe) return blocks;
  try {
    debianKernel(architecture);
    return blocks;
  } catch (error) {
    if (process.env['NX_IGVM_SKIP_NOTHING'] !== undefined) throw error;
    return skippedFor(`a Linux kernel for ${architecture}`);
  }
}
