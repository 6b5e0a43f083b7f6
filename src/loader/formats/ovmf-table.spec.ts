import { bytesSource } from '../../memory/byte-source';
import { IGVM_REGIONS, type MetadataRegion, ovmfFirmware } from '../ovmf/ovmf-firmware.fixture';
import { readOvmfTable } from './ovmf-table';

describe('readOvmfTable', () => {
  const kinds = (firmware: Uint8Array): string[] | undefined =>
    readOvmfTable(bytesSource(firmware))?.map(({ kind }) => kind);
  const changed = (change: (view: DataView, end: number) => void): Uint8Array => {
    const firmware = ovmfFirmware();
    change(new DataView(firmware.buffer), firmware.length - 0x20);
    return firmware;
  };

  it('leaves out empty regions and unknown kinds', () => {
    const igvm: MetadataRegion[] = [...IGVM_REGIONS, [0x1000, 0, 0x200], [0x1000, 0x1000, 0x300]];
    expect(kinds(ovmfFirmware({ igvm }))).toEqual(['parameterArea', 'memoryMap', 'vpCount', 'hobArea']);
  });

  it.each<[string, Uint8Array, string[] | undefined]>([
    ['nothing', new Uint8Array(0), undefined],
    ['a file that is shorter than a table', new Uint8Array(0x30), undefined],
    ['another GUID at the end', changed((view, end) => view.setUint8(end - 1, 0)), []],
    ['a table of size 0', changed((view, end) => view.setUint16(end - 18, 17, true)), undefined],
    ['a table that is larger than the file', changed((view, end) => view.setUint16(end - 18, 0xffff, true)), undefined],
    ['an entry of size 0', changed((view, end) => view.setUint16(end - 36, 3, true)), []],
    ['an unknown entry', changed((view, end) => view.setUint8(end - 19, 0)), []],
    ['a list beyond the start of the file', changed((view, end) => view.setUint32(end - 40, 0x2_0000, true)), []],
    ['a list that the end of the file cuts off', changed((view, end) => view.setUint32(end - 40, 8, true)), []],
  ])('reads damaged metadata up to the damage: %s', (_, firmware, expected) => {
    expect(kinds(firmware)).toEqual(expected);
  });

  it('refuses more entries than any real firmware has', () => {
    const firmware = ovmfFirmware({ size: 0x26_0000 });
    const view = new DataView(firmware.buffer);
    view.setUint32(firmware.length - 0x20 - 40, firmware.length, true);
    view.setUint32(12, 200_000, true);
    expect(() => kinds(firmware)).toThrow(expect.objectContaining({ code: 'FIRMWARE_INVALID' }));
  });
});
