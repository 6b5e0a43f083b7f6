import { bytesSource } from '../../src/memory/byte-source';
import { arm64ImageFile } from '../../src/loader/formats/kernel.fixture';
import { loadKernelAndInitrdArm64 } from '../../src/loader/guest/kernel';
import { loadOpenhclArm64 } from '../../src/loader/openhcl/openhcl-arm64';
import { openhclGuest } from '../../src/loader/openhcl/openhcl.fixture';
import type { Target } from '../engine/target';
import { buildGuest, buildGuests } from './built-guest';

const INITRD = bytesSource(new Uint8Array(100).fill(1));

export const arm64Image: Target = {
  name: 'arm64-image',
  about: 'arm64 kernels: alone, and as the kernel of OpenHCL',
  format: 'binary',
  dictionary: ['ARM\x64', Uint8Array.of(0x0a)],
  seeds: () => [
    arm64ImageFile(300),
    arm64ImageFile(5000, { textOffset: 0x80000n, imageSize: 0x9000n }),
    arm64ImageFile(300, { imageSize: 0n }),
  ],
  run(input) {
    const kernel = input.source();
    return buildGuests(
      () => buildGuest('aarch64', (importer) => void loadKernelAndInitrdArm64(importer, kernel, 0, INITRD)),
      () =>
        buildGuest('aarch64', (importer) => loadOpenhclArm64(importer, openhclGuest('aarch64', { kernel })), {
          maxVtl: 2,
        }),
    );
  },
};
