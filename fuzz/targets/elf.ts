import { elfFile } from '../../src/loader/formats/elf.fixture';
import { loadLinuxDirectX64 } from '../../src/loader/linux/linux-x64';
import { loadOpenhclArm64 } from '../../src/loader/openhcl/openhcl-arm64';
import { loadOpenhclX64 } from '../../src/loader/openhcl/openhcl-x64';
import { openhclGuest } from '../../src/loader/openhcl/openhcl.fixture';
import type { Target } from '../engine/target';
import { buildGuest, buildGuests } from './built-guest';

const code = (size: number): Uint8Array => new Uint8Array(size).fill(0xcc);
const IMAGE = { use_initrd: false, command_line: 'quiet', boot_data: 'vmm' } as const;
const AARCH64 = 183;

export const elf: Target = {
  name: 'elf',
  about: 'ELF files: as a directly booted kernel, and as kernel and boot shim of OpenHCL',
  format: 'binary',
  dictionary: ['\x7fELF', Uint8Array.of(62, 0), Uint8Array.of(183, 0), Uint8Array.of(0xff, 0xff)],
  seeds: () => [
    elfFile('x64', 0x1000200, [{ address: 0x1000000, data: code(600) }]),
    elfFile('x64', 0x1000200, [
      { address: 0x1000000, data: code(0x1200) },
      { address: 0x1200123, data: code(0x80), memorySize: 0x3001 },
    ]),
    elfFile('x64', 0x20, [{ address: 0, data: code(600) }]),
    elfFile('aarch64', 0x20, [{ address: 0, data: code(600) }]),
  ],
  run(input) {
    const source = input.source();
    if (input.bytes[18] === AARCH64) {
      const guest = openhclGuest('aarch64', { bootShim: source });
      return buildGuest('aarch64', (importer) => loadOpenhclArm64(importer, guest), { maxVtl: 2 });
    }
    return buildGuests(
      () => buildGuest('x64', (importer) => void loadLinuxDirectX64(importer, { kernel: source, image: IMAGE })),
      () =>
        buildGuest('x64', (importer) => loadOpenhclX64(importer, openhclGuest('x64', { kernel: source })), {
          maxVtl: 2,
        }),
      () =>
        buildGuest('x64', (importer) => loadOpenhclX64(importer, openhclGuest('x64', { bootShim: source })), {
          maxVtl: 2,
        }),
    );
  },
};
