import { crc32 } from 'node:zlib';
import { bytesSource } from '../../memory/byte-source';
import type { GuestIsolation } from '../guest/guest-platform';
import { hex, LaidOutGuest } from '../guest/laid-out-guest.fixture';
import type { OpenhclGuest } from './openhcl';
import { ARM64_KERNEL, openhclGuest } from './openhcl.fixture';
import { loadOpenhclArm64 } from './openhcl-arm64';

const UEFI = { kind: 'uefi', firmware: bytesSource(new Uint8Array(0x800000).fill(7)) } as const;

const layOut = (
  changes: Partial<OpenhclGuest> = {},
  isolation: GuestIsolation = { type: 'none' },
): Promise<LaidOutGuest> =>
  LaidOutGuest.of({ arch: 'aarch64', isolation, maxVtl: 2 }, (importer) =>
    loadOpenhclArm64(importer, openhclGuest('aarch64', { vtl0: UEFI, ...changes })),
  );

describe('loadOpenhclArm64', () => {
  it('lays out the paravisor upwards from 2 MiB after the start of its memory, the initrd before the shim', async () => {
    expect((await layOut()).map).toEqual([
      'uefi-image 0-800000',
      'uefi-stack 800000-820000',
      'uefi-page-tables 820000-824000',
      'underhill-measured-config 1000000-1001000',
      'openhcl-uefi-vp-context 1001000-1002000',
      'linux-kernel 8200000-8204000',
      'linux-initrd 8400000-8402000',
      'underhill-boot-shim 8402000-8403000',
      'underhill-command-line 8403000-8404000',
      'underhill-shim-params 8404000-8405000',
      'underhill-slit 8405000-8419000',
      'underhill-pptt 8419000-842d000',
      'underhill-device-tree 842d000-846d000',
      'loader-imported-regions 846d000-846e000',
      'underhill-vtl2-measured-config 846e000-846f000',
      'loader-expected-page-hashes 846f000-856f000',
      'ohcl-boot-shim-log-buffer 856f000-8571000',
      'ohcl-boot-shim-heap 8571000-8581000',
      'underhill-page-tables 8581000-8590000',
    ]);
  });

  it('enters the boot shim at EL1 with the MMU on, with X0 at its parameters', async () => {
    expect((await layOut()).registers).toEqual([
      'x0 2000',
      'pc 8402020',
      'cpsr 5',
      'sctlrEl1 30d01805',
      'tcrEl1 580803511',
      'mairEl1 ffbb4400',
      'ttbr0El1 8581000',
      'vbarEl1 0',
    ]);
  });

  it('tells the boot shim nothing about parts that aarch64 lacks', async () => {
    const params = (await layOut()).page(0x8404000);
    const at = (offset: number): number => Number(params.getBigInt64(offset, true));
    expect([0, 8, 16, 24].map(at)).toEqual([-0x202000, 0x1000, -0x2000, 5000]);
    expect(params.getUint32(32, true)).toBe(crc32(new Uint8Array(5000).fill(6)));
    expect([72, 80, 88, 96, 104, 128, 136].map(at)).toEqual([0, 0, 0, 0, 0, 0, 0]);
    expect(at(120)).toBe(0x18e000);
  });

  it('describes UEFI in VTL0, but not Linux', async () => {
    const uefi = (await layOut()).page(0x1000000);
    expect([8, 16, 24, 32, 40].map((offset) => Number(uefi.getBigUint64(offset, true)))).toEqual([
      1, 0, 0x824, 0x1001, 1,
    ]);
    const linux = await layOut({ vtl0: { kind: 'linux', kernel: ARM64_KERNEL, commandLine: 'x' } });
    expect(hex(linux.page(0x1000000), 8, 104)).toBe('00'.repeat(104));
    expect(linux.map.filter((range) => range.startsWith('linux-kernel'))).toEqual([
      'linux-kernel 0-4000',
      'linux-kernel 8200000-8204000',
    ]);
  });

  it('can be relocated under VBS, too, but not with a base', async () => {
    const types = async (...parameters: Parameters<typeof layOut>): Promise<string[]> =>
      (await layOut(...parameters)).built.file.initializations.map(({ type }) => type);
    expect(await types({}, { type: 'vbs', enableDebug: true })).toEqual(['relocatableRegion', 'pageTableRelocation']);
    expect(await types({ memoryPageBase: 32768n })).toEqual([]);
  });

  it('fills the root page table as upstream does', async () => {
    const root = (await layOut()).page(0x8581000);
    expect(root.getBigUint64(0, true)).toBe(0x8582003n);
    expect(root.getBigUint64(8, true)).toBe(0xfefe_fefe_fefe_fefen);
  });

  it('lies below 2^47, within the range of its page tables', async () => {
    const last = 2n ** 35n - 16384n;
    await expect(layOut({ memoryPageBase: last })).resolves.toBeDefined();
    await expect(layOut({ memoryPageBase: last + 512n })).rejects.toMatchObject({
      code: 'LAYOUT_OUT_OF_RANGE',
      message: expect.stringContaining('47 bits') as string,
      where: { jsonPath: ['image', 'openhcl', 'memory_page_base'] },
    });
  });

  it.each([
    ['nothing to start in VTL0', { vtl0: { kind: 'none' } }, 'CONFIG_UNSUPPORTED'],
    ['an initrd that does not fit', { initrd: bytesSource(new Uint8Array(2 ** 26)) }, 'LAYOUT_OUT_OF_RANGE'],
    ['a file that is not a kernel', { kernel: bytesSource(new Uint8Array(100)) }, 'KERNEL_INVALID'],
    ['an x64 boot shim', { bootShim: openhclGuest('x64').bootShim }, 'KERNEL_INVALID'],
  ] as [string, Partial<OpenhclGuest>, string][])('rejects %s', async (_, changes, code) => {
    await expect(layOut(changes)).rejects.toMatchObject({ name: 'IgvmError', code });
  });
});
