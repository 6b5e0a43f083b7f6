import type { DirectLinuxImage } from '../../manifest/model';
import { bytesSource } from '../../memory/byte-source';
import { decodeVbsContext } from '../../vp-context/vbs';
import type { GuestSpec } from '../guest/guest-platform';
import { arm64ImageFile, bytes } from '../formats/kernel.fixture';
import { LaidOutGuest } from '../guest/laid-out-guest.fixture';
import { loadLinuxDirectArm64 } from './linux-arm64';

async function layOut(image: Partial<DirectLinuxImage>, spec: Partial<GuestSpec> = {}) {
  const guest = await LaidOutGuest.of({ arch: 'aarch64', ...spec }, (importer) => {
    loadLinuxDirectArm64(importer, {
      kernel: bytesSource(arm64ImageFile(0x1800, { imageSize: 0x3000n })),
      initrd: bytesSource(bytes(0x900, 1)),
      image: { use_initrd: true, command_line: 'quiet', boot_data: 'vmm', ...image },
    });
  });
  return { guest, notes: guest.notes };
}

describe('loadLinuxDirectArm64', () => {
  it('loads kernel and initrd from 0 on, and sets the registers for the kernel entry in a VBS context', async () => {
    const { guest } = await layOut({});
    expect(guest.map).toEqual(['linux-kernel 0-3000', 'linux-initrd 200000-201000']);
    expect(guest.built.file).toMatchObject({ version: 2, arch: 'aarch64', platforms: [{ platformType: 1 }] });
    const [context] = guest.directives('vpContext');
    expect(context?.format).toBe('vbs');
    expect(context && decodeVbsContext(context.data, 'aarch64')).toEqual({
      vtl: 0,
      registers: [
        { name: 'pc', value: 0n },
        { name: 'cpsr', value: 0x3c5n },
        { name: 'sctlrEl1', value: 0x30d01804n },
        { name: 'tcrEl1', value: 0x580803591n },
        { name: 'ttbr0El1', value: 0n },
        { name: 'ttbr1El1', value: 0n },
        { name: 'vbarEl1', value: 0n },
      ],
    });
  });

  it('reports what the image lacks', async () => {
    expect((await layOut({})).notes).toEqual([expect.stringMatching(/no known VMM boots.*command_line is not/)]);
    expect((await layOut({ memory_size: 4096 })).notes[0]).toContain('command_line and memory_size are not');
  });

  it('builds under VBS, too', async () => {
    const { guest } = await layOut({}, { isolation: { type: 'vbs', enableDebug: true } });
    expect(guest.directives('vpContext')).toHaveLength(1);
  });

  it('has no embedded boot data', async () => {
    await expect(layOut({ boot_data: 'embedded', memory_size: 4096 })).rejects.toMatchObject({
      code: 'CONFIG_UNSUPPORTED',
    });
  });
});
