import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
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

/**
 * Debian's kernel, with its modules of some names.
 * @returns `modules`: paths of those that aren't built in, in the order in which they have to be loaded
 */
export function debianKernelWithModules(...names: string[]): { vmlinuz: string; version: string; modules: string[] } {
  const script = join(REPOSITORY, 'scripts', 'debian-kernel.mjs');
  const json = execFileSync(process.execPath, [script, 'amd64', '--modules'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { modules: folder, ...kernel } = JSON.parse(json) as { vmlinuz: string; version: string; modules: string };
  const modules = names.map((name) => join(folder, `${name}.ko`)).filter((path) => existsSync(path));
  return { ...kernel, modules };
}

/** The modules of a guest's network and disk (virtio), and of a file system that is verified. */
export const VIRTIO = ['virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci'];
export const NETWORK_MODULES = [...VIRTIO, 'failover', 'net_failover', 'virtio_net'];
export const VERITY_MODULES = [
  ...VIRTIO,
  'virtio_blk',
  'reed_solomon',
  'dm-mod',
  'dm-bufio',
  'dm-verity',
  'crc16',
  'crc32c_generic',
  'libcrc32c',
  'mbcache',
  'jbd2',
  'ext4',
];

/** Blocks of tests that boot such a kernel with these programs. */
export const needingKernel = (architecture: 'amd64' | 'arm64', ...programs: string[]): Blocks =>
  needingOne(architecture, () => debianKernel(architecture), programs);

/** The same for Debian's own, with modules. */
export const needingModules = (...programs: string[]): Blocks =>
  needingOne('amd64', () => debianKernelWithModules(), programs);

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
