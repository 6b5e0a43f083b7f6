import type { Vmm } from './vmm';

/**
 * Cloud Hypervisor. It has no other accelerator than KVM, and boots images as PVH kernels: its own IGVM loader is for
 * confidential guests and takes no native context.
 */
export const CLOUD_HYPERVISOR: Vmm = {
  name: 'cloud-hypervisor',
  label: 'Cloud Hypervisor',
  programs: ['cloud-hypervisor', 'cloud-hypervisor-static'],
  // Devices are from 3 GiB on.
  lowMemoryEnd: 3 * 2 ** 30,
  // No firmware runs before a PVH kernel.
  firmwareRoom: 0,

  questions: [],
  capabilities: () => ({ ways: ['pvh'], accelerators: ['kvm'] }),

  igvmRefusal: () => 'Cloud Hypervisor does not load NATIVE guests from IGVM files',

  commandLine: ({ file, memory, cpus, extraArgs }) =>
    [
      ['--kernel', file],
      ['--cpus', `boot=${cpus}`],
      ['--memory', `size=${memory}`],
      ['--serial', 'tty', '--console', 'off'],
      extraArgs,
    ].flat(),
};
