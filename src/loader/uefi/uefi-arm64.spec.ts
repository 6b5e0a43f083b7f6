import { bytesSource } from '../../memory/byte-source';
import { LaidOutGuest } from '../guest/laid-out-guest.fixture';
import { loadUefiArm64 } from './uefi-arm64';

const FIRMWARE = bytesSource(new Uint8Array(0x800000).fill(7));

describe('loadUefiArm64', () => {
  it('lays out firmware, stack and page tables from GPA 0 on', async () => {
    const guest = await LaidOutGuest.of({ arch: 'aarch64' }, (importer) => {
      expect(loadUefiArm64(importer, FIRMWARE, 'none')).toEqual({ firmwareBase: 0, totalSize: 0x824000 });
    });
    expect(guest.map).toEqual(['uefi-image 0-800000', 'uefi-stack 800000-820000', 'uefi-page-tables 820000-824000']);
    expect(guest.page(0).getUint8(4095)).toBe(7);
    expect(guest.isEmpty(0x800000)).toBe(true);
  });

  it('maps one GiB of memory and three of devices', async () => {
    const guest = await LaidOutGuest.of(
      { arch: 'aarch64' },
      (importer) => void loadUefiArm64(importer, FIRMWARE, 'none'),
    );
    expect(guest.page(0x820000).getBigUint64(0, true)).toBe(0x821003n);
    const gibs = [0, 1, 2, 3, 4].map((index) => guest.page(0x821000).getBigUint64(index * 8, true));
    expect(gibs).toEqual([
      0x0040_0000_0000_0701n,
      0x0040_0000_4000_0705n,
      0x0040_0000_8000_0705n,
      0x0040_0000_c000_0705n,
      0n,
    ]);
  });

  it('enters the firmware at EL1 with the MMU on, with its stack in X1', async () => {
    const guest = await LaidOutGuest.of(
      { arch: 'aarch64' },
      (importer) => void loadUefiArm64(importer, FIRMWARE, 'none'),
    );
    expect(guest.registers).toEqual([
      'cpsr 5',
      'x0 1000',
      'pc 1000',
      'x1 820000',
      'x2 0',
      'ttbr0El1 820000',
      'mairEl1 44aa00ff44aa00ff',
      'sctlrEl1 30d01805',
      'tcrEl1 903510',
    ]);
  });

  it('rejects IGVM parameters and firmware of another size', async () => {
    const load = (image: typeof FIRMWARE, config: 'none' | 'igvm'): Promise<LaidOutGuest> =>
      LaidOutGuest.of({ arch: 'aarch64' }, (importer) => void loadUefiArm64(importer, image, config));
    await expect(load(FIRMWARE, 'igvm')).rejects.toMatchObject({ code: 'CONFIG_UNSUPPORTED' });
    await expect(load(bytesSource(new Uint8Array(1)), 'none')).rejects.toMatchObject({ code: 'FIRMWARE_INVALID' });
  });
});
