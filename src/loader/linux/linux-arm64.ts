import { IgvmError } from '../../errors/igvm-error';
import { type Arm64RegisterName, SCTLR_CACHES } from '../../vp-context/vp-register';
import type { ImageImporter } from '../guest/importer';
import { type LinuxLoadInfo, loadKernelAndInitrdArm64 } from '../guest/kernel';
import { type DirectLinux, checkDirectLinuxIsolation } from './linux-direct';

/**
 * A processor in EL1 with the MMU off and caches on (Linux, Documentation/arch/arm64/booting.rst; openvmm
 * vm/loader/src/linux.rs: set_direct_boot_registers_arm64).
 */
const REGISTERS: readonly [Arm64RegisterName, bigint][] = [
  /** D, A, I, F masked; EL1 with a stack pointer of its own. */
  ['cpsr', 0x3c5n],
  ['sctlrEl1', SCTLR_CACHES],
  /** Walks off; 4 KiB pages, 47-bit addresses, inner shareable write-back tables; 48-bit physical addresses. */
  ['tcrEl1', 0x5_8080_3591n],
  ['ttbr0El1', 0n],
  ['ttbr1El1', 0n],
  ['vbarEl1', 0n],
];

/**
 * Lays out an aarch64 Linux guest: the kernel `Image` at 0, the initrd after it, and registers. There is no device
 * tree, and so no place for command line and memory: the VMM would have to supply one, but no known VMM does.
 * @throws IgvmError KERNEL_INVALID, LAYOUT_OVERLAP, CONFIG_UNSUPPORTED, ISOLATION_UNSUPPORTED
 */
export function loadLinuxDirectArm64(importer: ImageImporter, linux: DirectLinux): LinuxLoadInfo {
  const { image, kernel, initrd } = linux;
  checkDirectLinuxIsolation(importer.isolation.type);
  if (image.boot_data === 'embedded') {
    throw new IgvmError(
      'CONFIG_UNSUPPORTED',
      'boot_data "embedded" exists on x64 only: an aarch64 image has no device tree',
      { jsonPath: ['image', 'linux', 'boot_data'] },
    );
  }
  const loaded = loadKernelAndInitrdArm64(importer, kernel, 0, initrd);
  importer.setRegister({ name: 'pc', value: loaded.kernel.entrypoint });
  for (const [name, value] of REGISTERS) importer.setRegister({ name, value });
  const lost = image.memory_size === undefined ? 'command_line is' : 'command_line and memory_size are';
  importer.note(`no known VMM boots the image: it has no device tree, so ${lost} not part of it`);
  return loaded;
}
