// Kernels and a boot shim for the benchmark.
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { debianKernel } from '../scripts/debian-kernel.mjs';

const require = createRequire(import.meta.url);
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
require('../scripts/typescript.cjs');

/** Writes synthetic inputs of some hundred KiB into `folder`, and returns the resources that name them. */
export function writeSmallInputs(folder) {
  const { makeInputs } = require(join(root, 'conformance', 'make-inputs.ts'));
  makeInputs(folder, ['vmlinux-x64.elf', 'openhcl_boot-x64.elf']);
  return {
    linux_kernel: join(folder, 'vmlinux-x64.elf'),
    underhill_kernel: join(folder, 'vmlinux-x64.elf'),
    openhcl_boot: join(folder, 'openhcl_boot-x64.elf'),
  };
}

/** Like {@link smallInputs}, with Debian's kernel: an ELF file of 66 MB, of which 27 MiB are loaded. */
export function writeInputs(folder) {
  const { extractVmlinux } = require(join(root, 'e2e', 'vmlinux.ts'));
  const small = writeSmallInputs(folder);
  const vmlinux = join(folder, 'vmlinux');
  writeFileSync(vmlinux, extractVmlinux(debianKernel().vmlinuz));
  return { ...small, linux_kernel: vmlinux, underhill_kernel: vmlinux };
}
