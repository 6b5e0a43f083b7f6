import { bytesSource } from '../../memory/byte-source';
import {
  FILE_TYPE,
  firmwareFile,
  firmwareVolume,
  peImage,
  section,
  SECTION_TYPE,
  STARTABLE_ENTRY,
  STARTABLE_FIRMWARE,
  x64Firmware,
} from '../formats/firmware.fixture';
import { LaidOutGuest } from '../guest/laid-out-guest.fixture';
import { loadUefiX64 } from './uefi-x64';

const SNP = {
  type: 'snp',
  sharedGpaBoundaryBits: 39,
  policy: 0x3001fn,
  injectionType: 'restricted',
  secureAvic: 'disabled',
} as const;

const entryOf = (guest: LaidOutGuest, table: number, index: number): bigint =>
  guest.page(table).getBigUint64(index * 8, true);

function startsAt(guest: LaidOutGuest, address: number): boolean {
  const rip = Buffer.alloc(8);
  rip.writeBigUInt64LE(BigInt(address));
  return Buffer.from(guest.directives('vpContext')[0]?.data ?? []).includes(rip);
}

describe('loadUefiX64', () => {
  it('lays out firmware, page tables, GDT and scratch pages from 1 MiB on', async () => {
    const guest = await LaidOutGuest.of({}, (importer) => {
      expect(loadUefiX64(importer, STARTABLE_FIRMWARE, 'none')).toEqual({
        firmwareBase: 0x100000,
        totalSize: 0x709000,
      });
    });
    expect(guest.map).toEqual([
      'uefi-image 100000-700000',
      'uefi-page-tables 700000-706000',
      'default-gdt 706000-707000',
      'uefi-misc-pages 707000-709000',
    ]);
    expect(guest.directives('requiredMemory')).toEqual([
      expect.objectContaining({ gpa: 0, size: 0x709000, vtl2Protectable: false }),
    ]);
    expect(guest.page(0x100000).getUint8(0)).toBe(0x5a);
    expect(entryOf(guest, 0x700000, 0)).toBe(0x701023n);
    expect(entryOf(guest, 0x700000, 1)).toBe(0n);
  });

  it('starts at the entry point of the SEC core', async () => {
    const guest = await LaidOutGuest.of({}, (importer) => void loadUefiX64(importer, STARTABLE_FIRMWARE, 'none'));
    expect(startsAt(guest, 0x100000 + STARTABLE_ENTRY)).toBe(true);
    expect(guest.notes).toEqual([]);
  });

  it('enters the firmware in 64-bit mode, with RBP at its volume', async () => {
    const guest = await LaidOutGuest.of({}, (importer) => void loadUefiX64(importer, STARTABLE_FIRMWARE, 'none'));
    expect(guest.registers).toEqual([
      'gdtr 706000 1f',
      'ds 10 c093 ffffffff',
      'es 10 c093 ffffffff',
      'fs 10 c093 ffffffff',
      'gs 10 c093 ffffffff',
      'ss 10 c093 ffffffff',
      'cs 8 a09b ffffffff',
      'cr0 80000023',
      'cr3 700000',
      'cr4 660',
      'efer d00',
      'pat 7040600070406',
      'rbp 6e0000',
      `rip ${(0x100000 + STARTABLE_ENTRY).toString(16)}`,
      'r8 0',
      'r9 0',
      'r10 0',
      'r11 0',
      'mtrrDefType c00',
      'mtrrFix64k00000 606060606060606',
      'mtrrFix16k80000 606060606060606',
    ]);
  });

  it('builds firmware whose entry point is outside it, and says so', async () => {
    const core = firmwareFile(FILE_TYPE.SECURITY_CORE, section(SECTION_TYPE.PE32, peImage(0xfffffff0)));
    const image = x64Firmware(firmwareVolume(core));
    const guest = await LaidOutGuest.of({}, (importer) => void loadUefiX64(importer, image, 'none'));
    expect(startsAt(guest, 0x100000 + STARTABLE_ENTRY - 0x1234 + 0xfffffff0)).toBe(true);
    expect(guest.notes).toEqual([expect.stringContaining('outside the firmware')]);
  });

  it('lays out parameter areas for the VMM after the scratch pages', async () => {
    const guest = await LaidOutGuest.of({}, (importer) => void loadUefiX64(importer, STARTABLE_FIRMWARE, 'igvm'));
    expect(guest.map.slice(4)).toEqual([
      'uefi-config-base-page 709000-70a000',
      'uefi-loader-block 70a000-70b000',
      'uefi-command-line 70b000-70c000',
      'uefi-memory-map 70c000-720000',
      'uefi-madt 720000-734000',
      'uefi-srat 734000-748000',
      'uefi-memory-map-scratch 748000-75c000',
    ]);
    expect(guest.directives('parameter').map(({ kind }) => kind)).toEqual([
      'vpCount',
      'commandLine',
      'memoryMap',
      'madt',
      'srat',
    ]);
    const info = guest.page(0x709000);
    expect(info.getUint32(0, true)).toBe(83);
    expect(info.getBigUint64(8, true)).toBe(0xfffffn);
    expect([16, 20, 28, 36, 44, 56].map((offset) => info.getUint32(offset, true))).toEqual([1, 2, 3, 23, 43, 63]);
  });

  it('maps memory above the boundary for SNP, and has CPUID pages and a VMSA', async () => {
    const guest = await LaidOutGuest.of(
      { isolation: SNP },
      (importer) => void loadUefiX64(importer, STARTABLE_FIRMWARE, 'igvm'),
    );
    expect(guest.gpaOf('uefi-igvm-page-tables')).toBe(0x70a000);
    expect(entryOf(guest, 0x700000, 1)).toBe(0x70a023n);
    expect(entryOf(guest, 0x70b000, 0)).toBe((1n << 39n) | 0xe3n);
    expect(guest.page(guest.gpaOf('uefi-cpuid-page')).getUint32(0, true)).toBe(20);
    expect(guest.isEmpty(guest.gpaOf('uefi-cpuid-extended-page'))).toBe(true);
    const info = guest.page(0x709000);
    const vmsa = Number(info.getBigUint64(8, true)) * 4096;
    expect(guest.directives('vpContext')).toEqual([expect.objectContaining({ gpa: vmsa, format: 'snp' })]);
    expect(vmsa).toBe(0x709000 + info.getUint32(0, true) * 4096);
  });

  it('has no VMSA without IGVM parameters, like upstream, and says so', async () => {
    const guest = await LaidOutGuest.of(
      { isolation: SNP },
      (importer) => void loadUefiX64(importer, STARTABLE_FIRMWARE, 'none'),
    );
    expect(guest.directives('vpContext')).toEqual([]);
    expect(guest.notes).toEqual([expect.stringMatching(/^the image has no VP context.*config_type "igvm"/)]);
  });

  it.each([
    ['firmware of another size', {}, bytesSource(new Uint8Array(4096)), 'none', 'FIRMWARE_INVALID'],
    [
      'a boundary outside the page tables',
      { isolation: { ...SNP, sharedGpaBoundaryBits: 38 } },
      STARTABLE_FIRMWARE,
      'none',
      'CONFIG_UNSUPPORTED',
    ],
    [
      'IGVM parameters under an SNP paravisor',
      { isolation: SNP, maxVtl: 2 },
      STARTABLE_FIRMWARE,
      'igvm',
      'CONFIG_UNSUPPORTED',
    ],
  ] as const)('rejects %s', async (_, spec, image, config, code) => {
    await expect(LaidOutGuest.of(spec, (importer) => void loadUefiX64(importer, image, config))).rejects.toMatchObject({
      code,
    });
  });
});
