/** The images of the tests that boot them, and their processes. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const MIB = 2 ** 20;
export const MEMORY = 384;
export const COMMAND_LINE = 'console=ttyS0 panic=-1 from=the-manifest';

export interface LinuxImage {
  boot_data?: 'vmm' | 'embedded';
  memory_size?: number;
  processor_count?: number;
}

export const EMBEDDED: LinuxImage = { boot_data: 'embedded', memory_size: MEMORY * MIB };

export const manifest = (linux: LinuxImage, kernel: string) => ({
  guest_arch: 'x64',
  guest_configs: [
    {
      guest_svn: 1,
      max_vtl: 0,
      isolation_type: 'none',
      image: { linux: { use_initrd: true, command_line: COMMAND_LINE, ...linux } },
    },
  ],
  resources: { linux_kernel: `../boot/${kernel}`, linux_initrd: '../boot/initrd.cpio.gz' },
});

/** Process numbers of VMMs and their supervisors that were given `argument`. */
export function processesWith(argument: string, other = '-kernel'): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const args = readFileSync(join('/proc', pid, 'cmdline'), 'utf8').split('\0');
        return args.includes(argument) && args.includes(other);
      } catch {
        return false;
      }
    })
    .map(Number);
}
