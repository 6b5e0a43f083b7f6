import { pathOf } from '../../errors/json-path.fixture';
import { crc32 } from 'node:zlib';
import { bytesSource, readAll } from '../../memory/byte-source';
import { elfFile } from '../formats/elf.fixture';
import { STARTABLE_FIRMWARE } from '../formats/firmware.fixture';
import type { GuestIsolation } from '../guest/guest-platform';
import { hex, LaidOutGuest } from '../guest/laid-out-guest.fixture';
import type { OpenhclGuest } from './openhcl';
import { openhclGuest, X64_KERNEL } from './openhcl.fixture';
import { loadOpenhclX64 } from './openhcl-x64';

const SNP: GuestIsolation = {
  type: 'snp',
  sharedGpaBoundaryBits: 46,
  policy: 0x3001fn,
  injectionType: 'normal',
  secureAvic: 'enabled',
};
const TDX: GuestIsolation = { type: 'tdx', policy: 0n };

const layOut = (
  changes: Partial<OpenhclGuest> = {},
  isolation: GuestIsolation = { type: 'none' },
  maxVtl: 0 | 2 = 2,
): Promise<LaidOutGuest> =>
  LaidOutGuest.of({ isolation, maxVtl }, (importer) => loadOpenhclX64(importer, openhclGuest('x64', changes)));

describe('loadOpenhclX64', () => {
  it('lays out the paravisor upwards from 2 MiB after the start of its memory', async () => {
    const guest = await layOut();
    expect(guest.map).toEqual([
      'underhill-measured-config 0-1000',
      'underhill-kernel 8200000-8202000',
      'underhill-boot-shim 8202000-8203000',
      'underhill-initrd 8203000-8205000',
      'underhill-gdt 8205000-8206000',
      'underhill-shim-params 8206000-8207000',
      'underhill-command-line 8207000-8208000',
      'underhill-slit 820c000-8220000',
      'underhill-pptt 8220000-8234000',
      'underhill-device-tree 8234000-8274000',
      'loader-imported-regions 8274000-8275000',
      'underhill-vtl2-measured-config 8275000-8276000',
      'loader-expected-page-hashes 8276000-8376000',
      'ohcl-boot-shim-log-buffer 8376000-8378000',
      'ohcl-boot-shim-heap 8378000-8388000',
      'underhill-page-tables 8388000-838f000',
    ]);
    expect(guest.directives('requiredMemory')).toEqual([
      expect.objectContaining({ gpa: 0x8000000, size: 0x4000000, vtl2Protectable: true }),
    ]);
  });

  it('can be relocated only without isolation and without a base', async () => {
    const types = async (...parameters: Parameters<typeof layOut>): Promise<string[]> =>
      (await layOut(...parameters)).built.file.initializations.map(({ type }) => type);
    expect(await types()).toEqual(['relocatableRegion', 'pageTableRelocation']);
    expect(await types({ memoryPageBase: 32768n })).toEqual([]);
    expect(await types({}, { type: 'vbs', enableDebug: false })).toEqual([]);
    const [region, tables] = (await layOut()).built.file.initializations;
    expect(region).toMatchObject({ gpa: 0x8000000, size: 0x388000, minimumGpa: 0x8000000, maximumGpa: 2 ** 48 });
    expect(tables).toMatchObject({ gpa: 0x8388000, size: 0x7000, usedSize: 0x3000 });
  });

  it('enters the boot shim in 64-bit mode, with RSI at its parameters', async () => {
    const guest = await layOut({}, { type: 'vbs', enableDebug: false });
    expect(guest.registers).toEqual([
      'gdtr 8205000 1f',
      'ds 18 c093 ffffffff',
      'es 18 c093 ffffffff',
      'fs 18 c093 ffffffff',
      'gs 18 c093 ffffffff',
      'ss 18 c093 ffffffff',
      'cs 10 a09b ffffffff',
      'tr 0 8b ffff',
      'cr0 80000021',
      'cr3 8388000',
      'cr4 40060',
      'efer d00',
      'pat 7040600070406',
      'rsi 4000',
      'rip 8202020',
    ]);
  });

  it('tells the boot shim where everything is, relative to itself', async () => {
    const params = (await layOut()).page(0x8206000);
    const offset = (index: number): number => Number(params.getBigInt64(index, true));
    expect([0, 8, 16, 24].map(offset)).toEqual([-0x1ff0, 0x5000, 0x1000, 5000]);
    expect(params.getUint32(32, true)).toBe(crc32(new Uint8Array(5000).fill(6)));
    expect(params.getUint32(36, true)).toBe(1);
    expect([40, 48].map(offset)).toEqual([-0x202000, 0x4000000]);
    expect([112, 120, 128, 136].map(offset)).toEqual([-0x202000, 0x18d000, 0, 0]);
    expect([176, 184].map(offset)).toEqual([-0x202000, 0x200000]);
  });

  it('describes a boot shim without segments as upstream does: relative to the last byte of the address space', async () => {
    const guest = await layOut({ bootShim: bytesSource(elfFile('x64', 0x20, [])) });
    expect(guest.gpaOf('underhill-initrd')).toBe(0x8202000);
    expect(guest.page(0x8205000).getBigInt64(8, true)).toBe(0x8206001n);
    expect(guest.notes).toEqual([expect.stringContaining('underhill-boot-shim has no segment to load')]);
  });

  it('describes a kernel for VTL0 without segments as upstream does', async () => {
    const kernel = bytesSource(elfFile('x64', 0x1000, []));
    const config = (await layOut({ vtl0: { kind: 'linux', kernel, commandLine: '' } })).page(0);
    expect([48, 56, 64].map((offset) => config.getBigUint64(offset, true))).toEqual([2n ** 52n - 1n, 1n, 0x1000n]);
  });

  it('loads a sidecar at the next 2 MiB boundary', async () => {
    const sidecar = bytesSource(elfFile('x64', 0x40, [{ address: 0, data: new Uint8Array(0x1800).fill(8) }]));
    const guest = await layOut({ sidecar });
    expect(guest.gpaOf('sidecar-kernel')).toBe(0x8400000);
    expect(guest.gpaOf('underhill-boot-shim')).toBe(0x8402000);
    const params = guest.page(guest.gpaOf('underhill-shim-params'));
    expect([88, 96, 104].map((at) => Number(params.getBigInt64(at, true)))).toEqual([-0x2000, 0x2000, -0x1fc0]);
  });

  it.each([
    ['appended to by the host', false, '0100050071756965740000'],
    ['static', true, '0000050071756965740000'],
  ])('has a command line that is %s', async (_, staticCommandLine, expected) => {
    const guest = await layOut({ staticCommandLine });
    expect(hex(guest.page(0x8207000), 0, 11)).toBe(expected);
  });

  it('shares kernel and initrd under SNP, and lists the hashes of their pages', async () => {
    const guest = await layOut({}, SNP);
    expect(guest.gpaOf('underhill-kernel')).toBe(0x8400000);
    expect(guest.run(0x8400000).flags).toBe(4);
    expect(guest.run(guest.gpaOf('underhill-initrd')).flags).toBe(4);
    expect(guest.run(guest.gpaOf('underhill-boot-shim')).flags).toBe(0);
    const hashes = guest.page(guest.gpaOf('loader-expected-page-hashes'));
    expect(hashes.getUint32(8, true)).toBe(4);
    expect(guest.page(guest.gpaOf('underhill-vtl2-measured-config')).getUint8(8)).toBe(46);
    expect(guest.page(guest.gpaOf('underhill-page-tables')).getBigUint64(0, true) >> 51n).toBe(1n);
  });

  it('has SNP’s pages in the reserved region, the VMSA first', async () => {
    const guest = await layOut({}, SNP);
    const reserved = guest.gpaOf('underhill-command-line') + 0x1000;
    expect(guest.directives('vpContext')).toEqual([expect.objectContaining({ gpa: reserved, format: 'snp' })]);
    expect(guest.gpaOf('underhill-snp-cpuid-page')).toBe(reserved + 0x1000);
    expect(guest.gpaOf('underhill-snp-cpuid-extended-state-page')).toBe(reserved + 0x2000);
    expect(guest.gpaOf('underhill-snp-secrets-page')).toBe(reserved + 0x3000);
  });

  it('maps the reset vector under TDX', async () => {
    const guest = await layOut({}, TDX);
    expect(guest.gpaOf('vp-context-page')).toBe(0xfffff000);
    const tables = guest.gpaOf('underhill-page-tables');
    expect(guest.run(tables).pageCount).toBe(5 + 2 + 1 + 3);
    const params = guest.page(guest.gpaOf('underhill-shim-params'));
    expect(params.getUint32(36, true)).toBe(3);
    expect(Number(params.getBigInt64(136, true))).toBe(0x200000);
  });

  it('starts UEFI in VTL0 with its own VP context', async () => {
    const guest = await layOut({ vtl0: { kind: 'uefi', firmware: STARTABLE_FIRMWARE } });
    const config = guest.page(0);
    expect(hex(config, 0, 8)).toBe(Buffer.from('0LTVLCHO').toString('hex'));
    expect([8, 16, 24, 32, 40].map((at) => Number(config.getBigUint64(at, true)))).toEqual([3, 0x100, 0x709, 1, 1]);
    expect(guest.gpaOf('openhcl-uefi-vp-context')).toBe(0x1000);
    expect(guest.isEmpty(0x1000)).toBe(false);
    expect(guest.directives('requiredMemory').map(({ gpa }) => gpa)).toEqual([0, 0x8000000]);
  });

  it('starts Linux in VTL0', async () => {
    const initrd = bytesSource(new Uint8Array(4097));
    const guest = await layOut({ vtl0: { kind: 'linux', kernel: X64_KERNEL, initrd, commandLine: 'root=/dev/sda' } });
    const config = guest.page(0);
    expect([8, 48, 56, 64, 72, 80, 88, 96, 104].map((at) => Number(config.getBigUint64(at, true)))).toEqual([
      4, 0x1000, 2, 0x1000010, 0x1200, 2, 4097, 1, 1,
    ]);
    expect(hex(guest.page(0x1000), 0, 15)).toBe(`${Buffer.from('root=/dev/sda').toString('hex')}0000`);
  });

  it('protects no memory when there is no VTL2', async () => {
    const guest = await layOut({}, { type: 'none' }, 0);
    expect(guest.directives('requiredMemory')).toEqual([expect.objectContaining({ vtl2Protectable: false })]);
  });

  it('puts the product policy after the measured configuration', async () => {
    const sivm = {
      require_ephemeral_vmgs: false,
      require_secure_boot: true,
      require_secure_boot_vars: false,
      require_bcd_integrity: false,
      custom_uefi_json: '',
    };
    const config = (await layOut({ productPolicy: { sivm } })).page(0x8275000);
    expect(config.getUint32(16, true)).toBe(18);
    expect(config.getUint8(24)).toBe(8);
  });

  it.each([
    ['too little memory', { memoryPageCount: 512n }, /takes \d+ pages of memory to load/, 'memory_page_count'],
    ['no memory', { memoryPageCount: 0n }, /takes \d+ pages .* memory_page_count is 0/, 'memory_page_count'],
    ['memory of odd size', { memoryPageCount: 16385n }, /^memory_page_count .* multiple of 512/, 'memory_page_count'],
    ['memory of 4 GiB', { memoryPageCount: 2n ** 20n }, /holds less than 4 GiB/, 'memory_page_count'],
    ['a base at an odd page', { memoryPageBase: 1n }, /^memory_page_base .* multiple of 512/, 'memory_page_base'],
    ['a base beyond all addresses', { memoryPageBase: 2n ** 63n }, /beyond the 52 bits/, 'memory_page_base'],
    ['a long command line', { commandLine: 'x'.repeat(4093) }, /has 4093 bytes, .* room for 4092/, 'command_line'],
    [
      'a long command line in VTL0',
      { vtl0: { kind: 'linux', kernel: X64_KERNEL, commandLine: 'x'.repeat(4096) } },
      /has 4096 bytes, .* room for 4095/,
      'linux.command_line',
    ],
  ] as [string, Partial<OpenhclGuest>, RegExp, string][])('rejects %s', async (_, changes, message, option) => {
    await expect(layOut(changes)).rejects.toMatchObject({
      code: 'LAYOUT_OUT_OF_RANGE',
      message: expect.stringMatching(message) as string,
      where: { jsonPath: pathOf(`image.openhcl.${option}`) },
    });
  });

  it.each([
    ['memory of almost 4 GiB', { memoryPageCount: 2n ** 20n - 512n }],
    ['a command line that fills its page', { commandLine: 'x'.repeat(4092) }],
    [
      'a command line that fills its page in VTL0',
      { vtl0: { kind: 'linux', kernel: X64_KERNEL, commandLine: 'x'.repeat(4095) } },
    ],
  ] as [string, Partial<OpenhclGuest>][])('accepts %s', async (_, changes) => {
    await expect(layOut(changes)).resolves.toBeDefined();
  });

  const bzImage = new Uint8Array(0x1000);
  bzImage.set([0x55, 0xaa], 0x1fe);
  bzImage.set(Buffer.from('HdrS'), 0x202);
  it.each([
    [
      'a file that is not a boot shim',
      { bootShim: bytesSource(new Uint8Array(64)) },
      /^underhill-boot-shim is not an ELF file/,
    ],
    [
      'a bzImage in VTL0',
      { vtl0: { kind: 'linux', kernel: bytesSource(bzImage), commandLine: '' } },
      /^linux-kernel is a bzImage/,
    ],
  ] as [string, Partial<OpenhclGuest>, RegExp][])('rejects %s', async (_, changes, message) => {
    await expect(layOut(changes)).rejects.toMatchObject({
      code: 'KERNEL_INVALID',
      message: expect.stringMatching(message) as string,
    });
  });

  it.each([
    ['the window of the boot shim', SNP, 0x200n, /^the memory of openhcl .* overlaps the boot shim's window/],
    ['the reset vector', TDX, 0xfc000n, /^the memory of openhcl .* overlaps the page where processors start/],
  ])('rejects memory over %s, and names both', async (_, isolation, memoryPageBase, message) => {
    await expect(layOut({ memoryPageBase }, isolation)).rejects.toMatchObject({
      code: 'LAYOUT_OVERLAP',
      message: expect.stringMatching(message) as string,
      where: { jsonPath: ['image', 'openhcl', 'memory_page_base'] },
    });
  });

  it('reports that memory extends too far if no base was given', async () => {
    await expect(layOut({ memoryPageCount: 0xffe00n }, TDX)).rejects.toMatchObject({
      code: 'LAYOUT_OVERLAP',
      where: { jsonPath: ['image', 'openhcl', 'memory_page_count'] },
    });
  });

  it.each([
    ['below the bit that marks private memory, under SNP', SNP, 2n ** 39n, /bit 51, which marks private memory/],
    ['below 4 GiB under TDX', TDX, 2n ** 20n, /^under TDX openhcl has to lie below 4 GiB/],
  ])('needs its page tables %s', async (_, isolation, memoryPageBase, message) => {
    await expect(layOut({ memoryPageBase }, isolation)).rejects.toMatchObject({
      code: 'LAYOUT_OUT_OF_RANGE',
      message: expect.stringMatching(message) as string,
      where: { jsonPath: ['image', 'openhcl', 'memory_page_base'] },
    });
  });

  it.each([
    ['where nothing is mapped to itself', { type: 'none' } as const, 2n ** 35n, 'no address from 0x800000000000 on'],
    ['in memory shared with the host', SNP, 2n ** 34n, 'from the shared GPA boundary 0x400000000000 on'],
  ])('is built, with a note, %s', async (_, isolation, limit, note) => {
    const notes = async (memoryPageBase: bigint): Promise<string[]> =>
      (await layOut({ memoryPageBase }, isolation)).notes;
    expect(await notes(limit - 16384n)).toEqual([]);
    expect(await notes(limit - 16384n + 512n)).toEqual([expect.stringContaining(note)]);
  });

  it('needs a VTL2 under SNP: without one, its first page would hold the code that accepts memory', async () => {
    const isolation = { ...SNP, injectionType: 'restricted' } as const;
    await expect(layOut({}, isolation, 0)).rejects.toMatchObject({
      code: 'CONFIG_UNSUPPORTED',
      where: { jsonPath: ['max_vtl'] },
    });
  });

  it('explains what to do with a bzImage given as its kernel', async () => {
    await expect(layOut({ kernel: bytesSource(bzImage) })).rejects.toMatchObject({
      code: 'KERNEL_INVALID',
      message: 'underhill-kernel is a bzImage; unpack it: its vmlinux is needed here',
    });
  });

  it('is built even if its memory extends beyond the address space, as long as the loaded parts do not', async () => {
    const [end, loaded] = [2n ** 40n, 16384n];
    const { notes } = await layOut({ memoryPageBase: end - loaded, memoryPageCount: 2n * loaded });
    expect(notes).toEqual([expect.stringContaining('it cannot run there')]);
    await expect(layOut({ memoryPageBase: end - 512n, memoryPageCount: 2n * loaded })).rejects.toMatchObject({
      code: 'LAYOUT_OUT_OF_RANGE',
      message: expect.stringContaining('reaches beyond') as string,
    });
  });

  it('notes a command line of VTL0 that its kernel truncates', async () => {
    const notes = async (length: number): Promise<string[]> =>
      (await layOut({ vtl0: { kind: 'linux', kernel: X64_KERNEL, commandLine: 'x'.repeat(length) } })).notes;
    expect(await notes(2047)).toEqual([]);
    expect(await notes(2048)).toEqual([expect.stringContaining('only the first 2047')]);
  });

  it('refers to its files instead of reading them', async () => {
    const guest = await layOut();
    const [kernel] = guest.directives('pageData').filter(({ gpa }) => gpa === 0x8200000);
    expect(kernel?.pageCount).toBe(2);
    expect(readAll(kernel?.content ?? bytesSource(new Uint8Array(0)), 8192)).toEqual(new Uint8Array(0x2000).fill(1));
  });
});
