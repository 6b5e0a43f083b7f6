import { acpiTable, AcpiTableSet } from './tables';

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => total + byte, 0) & 0xff;
const text = (bytes: Uint8Array, start: number, end: number): string =>
  Buffer.from(bytes).toString('latin1', start, end);
const u64 = (bytes: Uint8Array, offset: number): number =>
  Number(new DataView(bytes.buffer).getBigUint64(offset, true));

describe('acpiTable', () => {
  it('has a header with length, maker and a checksum over everything', () => {
    const table = acpiTable({ signature: 'TEST', revision: 3 }, Uint8Array.of(1, 2), Uint8Array.of(0xff));
    expect(table.length).toBe(39);
    expect(new DataView(table.buffer).getUint32(4, true)).toBe(39);
    expect(text(table, 0, 4)).toBe('TEST');
    expect(table[8]).toBe(3);
    expect(text(table, 10, 24)).toBe('HVLITEHVLITETB');
    expect(text(table, 28, 32)).toBe('MSHV');
    expect([...table.subarray(36)]).toEqual([1, 2, 0xff]);
    expect(sum(table)).toBe(0);
  });
});

describe('AcpiTableSet', () => {
  it('lists tables in an XSDT, each at a multiple of 8', () => {
    const set = new AcpiTableSet(0x19000);
    expect(set.add(acpiTable({ signature: 'DSDT', revision: 2 }, new Uint8Array(1)), { listed: false })).toBe(0x19000);
    expect(set.add(acpiTable({ signature: 'FACP', revision: 6 }))).toBe(0x19028);
    expect(set.add(acpiTable({ signature: 'APIC', revision: 5 }))).toBe(0x19050);
    const { rsdp, tables } = set.finish();
    const xsdt = tables.slice(0x78);
    expect(text(xsdt, 0, 4)).toBe('XSDT');
    expect([u64(xsdt, 36), u64(xsdt, 44)]).toEqual([0x19028, 0x19050]);
    expect(new DataView(xsdt.buffer).getUint32(4, true)).toBe(36 + 16);
    expect(u64(rsdp, 24)).toBe(0x19078);
  });

  it('has an RSDP with two correct checksums', () => {
    const { rsdp } = new AcpiTableSet(0x1000).finish();
    expect(rsdp.length).toBe(36);
    expect(text(rsdp, 0, 8)).toBe('RSD PTR ');
    expect(rsdp[15]).toBe(2);
    expect(sum(rsdp.subarray(0, 20))).toBe(0);
    expect(sum(rsdp)).toBe(0);
  });
});
