import { bytesSource } from '../../src/memory/byte-source';
import { bzImageFile } from '../../src/loader/formats/kernel.fixture';
import { loadLinuxDirectX64 } from '../../src/loader/linux/linux-x64';
import type { Target } from '../engine/target';
import { buildGuest, buildGuests } from './built-guest';

const CODE = new Uint8Array(0x300).fill(0xcc);
const INITRD = bytesSource(new Uint8Array(100).fill(1));
const MEMORY = 2 ** 29;

export const bzimage: Target = {
  name: 'bzimage',
  about: 'bzImage kernels, with and without an initrd',
  format: 'binary',
  dictionary: ['HdrS', Uint8Array.of(0x55, 0xaa), Uint8Array.of(0x0f, 0x02)],
  seeds: () => [
    bzImageFile(CODE),
    bzImageFile(CODE, { setup_sects: 0, syssize: 0 }),
    bzImageFile(CODE, { pref_address: 0x100000n, init_size: 0x1000, cmdline_size: 255 }),
  ],
  run(input) {
    const kernel = input.source();
    return buildGuests(
      () =>
        buildGuest('x64', (importer) => {
          const image = { use_initrd: false, command_line: 'console=ttyS0 quiet', boot_data: 'vmm' } as const;
          loadLinuxDirectX64(importer, { kernel, image });
        }),
      () =>
        buildGuest('x64', (importer) => {
          const image = { use_initrd: true, command_line: '', boot_data: 'embedded', memory_size: MEMORY } as const;
          loadLinuxDirectX64(importer, { kernel, initrd: INITRD, image });
        }),
    );
  },
};
