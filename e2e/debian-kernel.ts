import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type Blocks, needing, skippedFor } from '../src/boot/needing.fixture';
import { REPOSITORY } from './harness/template';

interface Kernel {
  vmlinuz: string;
  version: string;
}

function runScript<T>(...args: string[]): T {
  const script = join(REPOSITORY, 'scripts', 'debian-kernel.mjs');
  const json = execFileSync(process.execPath, [script, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(json) as T;
}

/** A stock kernel: the newest in /boot, or Debian's current one, downloaded. */
export const debianKernel = (architecture: 'amd64' | 'arm64' = 'amd64'): Kernel => runScript(architecture);

/**
 * Debian's kernel, with the modules for a network, or for a disk with a verified file system.
 * @returns `modules`: the paths of modules that aren't built in, in the order in which they have to be loaded
 */
export function debianKernelWithModules(purpose: 'network' | 'verity'): Kernel & { modules: string[] } {
  const { modules, ...kernel } = runScript<Kernel & { modules: Record<typeof purpose, string[]> }>(
    'amd64',
    '--modules',
  );
  return { ...kernel, modules: modules[purpose] };
}

/** Blocks of tests that boot a stock kernel and need these programs. */
export const needingKernel = (architecture: 'amd64' | 'arm64', ...programs: string[]): Blocks =>
  needingOne(architecture, () => debianKernel(architecture), programs);

/** The same for Debian's own kernel, with modules. */
export const needingModules = (...programs: string[]): Blocks =>
  needingOne('amd64', () => debianKernelWithModules('network'), programs);

function needingOne(architecture: string, find: () => unknown, programs: string[]): Blocks {
  const blocks = needing(...programs);
  if (blocks.describe !== describe) return blocks;
  try {
    find();
    return blocks;
  } catch (error) {
    if (process.env['NX_IGVM_SKIP_NOTHING'] !== undefined) throw error;
    return skippedFor(`a Linux kernel for ${architecture}`);
  }
}
