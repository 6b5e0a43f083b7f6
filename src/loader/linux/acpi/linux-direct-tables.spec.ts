import { linuxDirectAcpiTables } from './linux-direct-tables';

const GPA = 0x19000;

/** Tables by signature, in the order of the XSDT. The FADT points to the DSDT. */
function parse(
  processorCount: number,
  memorySize = 0x2000000,
  domains: 'single' | 'each' = 'each',
): Map<string, Buffer> {
  const { rsdp, tables } = linuxDirectAcpiTables(GPA, processorCount, memorySize, domains);
  const bytes = Buffer.from(tables);
  const at = (gpa: number): Buffer => {
    const start = gpa - GPA;
    const table = bytes.subarray(start, start + bytes.readUInt32LE(start + 4));
    expect(table.reduce((sum, byte) => sum + byte, 0) & 0xff).toBe(0);
    return table;
  };
  const xsdt = at(Number(Buffer.from(rsdp).readBigUInt64LE(24)));
  const found = new Map<string, Buffer>();
  for (let offset = 36; offset < xsdt.length; offset += 8) {
    const table = at(Number(xsdt.readBigUInt64LE(offset)));
    found.set(table.toString('latin1', 0, 4), table);
  }
  const fadt = found.get('FACP') ?? Buffer.alloc(0);
  found.set('DSDT', at(Number(fadt.readBigUInt64LE(140))));
  return found;
}

const table = (tables: Map<string, Buffer>, signature: string): Buffer => tables.get(signature) ?? Buffer.alloc(0);

/** `type` of each structure of a MADT or SRAT, by the structure's own length. */
function structures(bytes: Buffer, start: number): Buffer[] {
  const found: Buffer[] = [];
  for (let at = start; at < bytes.length; at += bytes[at + 1] ?? bytes.length) {
    found.push(bytes.subarray(at, at + (bytes[at + 1] ?? 0)));
  }
  return found;
}

describe('linuxDirectAcpiTables', () => {
  it('describes the chipset, processors and memory', () => {
    expect([...parse(1).keys()]).toEqual(['FACP', 'APIC', 'SRAT', 'DSDT']);
  });

  it('names processors in the DSDT', () => {
    const dsdt = table(parse(1001), 'DSDT').toString('latin1');
    for (const name of ['\\._SB_APIC', '\\._SB_UAR1', '\\._SB_RTC0', 'P001', 'P999', 'Q000', 'Q001']) {
      expect(dsdt).toContain(name);
    }
    expect(dsdt).not.toContain('Q002');
  });

  it('gives processors APIC IDs from 0 on, with x2APIC structures for IDs beyond those of local APICs', () => {
    const madt = structures(table(parse(256), 'APIC'), 44);
    expect(madt.slice(0, 4).map(([type]) => type)).toEqual([1, 2, 2, 4]);
    const processors = madt.slice(4);
    expect(processors.length).toBe(256);
    expect([...(processors[254] ?? [])]).toEqual([0, 8, 255, 254, 1, 0, 0, 0]);
    const last = processors[255] ?? Buffer.alloc(0);
    expect([last[0], last.readUInt32LE(4), last.readUInt32LE(8), last.readUInt32LE(12)]).toEqual([9, 255, 1, 256]);
  });

  it('puts each processor into its own proximity domain, and all memory into domain 0', () => {
    const srat = structures(table(parse(256, 0x12345000), 'SRAT'), 48);
    expect(srat.length).toBe(257);
    expect([...(srat[3] ?? [])].slice(0, 5)).toEqual([0, 16, 3, 3, 1]);
    expect([srat[255]?.[0], srat[255]?.readUInt32LE(4), srat[255]?.readUInt32LE(8)]).toEqual([2, 255, 255]);
    const memory = srat[256] ?? Buffer.alloc(0);
    expect([
      memory[0],
      memory.readUInt32LE(2),
      Number(memory.readBigUInt64LE(8)),
      Number(memory.readBigUInt64LE(16)),
    ]).toEqual([1, 0, 0, 0x12345000]);
  });

  it('lists the power management ports of the chipset in the FADT', () => {
    const fadt = table(parse(1), 'FACP');
    expect(fadt.length).toBe(276);
    expect(fadt.readUInt16LE(46)).toBe(9);
    const port = (offset: number): number => Number(fadt.readBigUInt64LE(offset + 4));
    expect([116, 148, 172, 208, 220].map(port)).toEqual([0x433, 0x400, 0x404, 0x408, 0x40c]);
  });
});
