import { importProcessors } from './linux-processors';
import { LaidOutGuest } from '../guest/laid-out-guest.fixture';

const KERNEL = 0x1_0010_0200n;

async function layOut(count: number): Promise<{ guest: LaidOutGuest; rip: bigint }> {
  let rip = 0n;
  const guest = await LaidOutGuest.of({ native: true }, (importer) => {
    rip = importProcessors(importer, count, KERNEL);
  });
  return { guest, rip };
}

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => total + byte, 0) & 0xff;

/** The guest's memory from 0x9c000 on: ACPI tables, fix-up, VP_COUNT as its VMM writes it, MP table. */
const BASE = 0x9c000;
function memoryOf(guest: LaidOutGuest, vpCount: number): Uint8Array {
  const memory = new Uint8Array(4 * 4096);
  for (const gpa of [0x9c000, 0x9d000, 0x9f000]) memory.set(new Uint8Array(guest.page(gpa).buffer), gpa - BASE);
  new DataView(memory.buffer).setUint32(0x9e000 - BASE, vpCount, true);
  return memory;
}

function tableOf(memory: Uint8Array): Uint8Array {
  const view = new DataView(memory.buffer);
  const at = view.getUint32(0x9fc04 - BASE, true) - BASE;
  return memory.subarray(at, at + view.getUint16(at + 4, true));
}

/** The ACPI tables by signature, found from the RSDP like a kernel does; checks their checksums. */
function acpiOf(memory: Uint8Array): Map<string, Buffer> {
  const bytes = Buffer.from(memory);
  const rsdp = bytes.subarray(0, 36);
  expect([rsdp.toString('latin1', 0, 8), sum(rsdp.subarray(0, 20)), sum(rsdp)]).toEqual(['RSD PTR ', 0, 0]);
  const tableAt = (gpa: number): Buffer => {
    const at = gpa - BASE;
    const table = bytes.subarray(at, at + bytes.readUInt32LE(at + 4));
    expect(sum(table)).toBe(0);
    return table;
  };
  const xsdt = tableAt(Number(rsdp.readBigUInt64LE(24)));
  const tables = Array.from({ length: (xsdt.length - 36) / 8 }, (_, index) =>
    tableAt(Number(xsdt.readBigUInt64LE(36 + 8 * index))),
  );
  const fadt = tables.find((table) => table.toString('latin1', 0, 4) === 'FACP')!;
  return new Map(
    [xsdt, ...tables, tableAt(Number(fadt.readBigUInt64LE(140)))].map((table) => [
      table.toString('latin1', 0, 4),
      table,
    ]),
  );
}

const enabled = (table: Uint8Array, count: number): boolean[] =>
  Array.from({ length: count }, (_, id) => ((table[44 + 20 * id + 3] ?? 0) & 1) === 1);

/** Emulates the instructions of the fix-up. Returns the address to which it jumps. */
function run(memory: Uint8Array): bigint {
  const view = new DataView(memory.buffer);
  const at = (address: number): number => address - BASE;
  const imm = (offset: number): number => view.getUint32(offset, true);
  let [ip, eax, ecx, edx, edi, rax] = [at(0x9d000), 0, 0, 0, 0, 0n];
  for (let steps = 0; steps < 10_000; steps++) {
    const opcode = [...memory.subarray(ip, ip + 2)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    const one = opcode.slice(0, 2);
    if (one === 'b9') [ecx, ip] = [imm(ip + 1), ip + 5];
    else if (one === 'ba') [edx, ip] = [imm(ip + 1), ip + 5];
    else if (opcode === '8b01') [eax, ip] = [view.getUint32(at(ecx), true), ip + 2];
    else if (opcode === '83f8')
      ip += 3; // cmp eax, 1: the following adc uses its carry
    else if (opcode === '83d0') [eax, ip] = [eax < 1 ? eax + 1 : eax, ip + 3];
    else if (opcode === '39c1')
      ip += 2; // cmp ecx, eax: for the following jbe
    else if (one === '76') ip += 2 + (ecx <= eax ? view.getInt8(ip + 1) : 0);
    else if (opcode === 'ffc9') [ecx, ip] = [ecx - 1, ip + 2];
    else if (opcode === '6bf9') [edi, ip] = [ecx * view.getInt8(ip + 2), ip + 3];
    else if (opcode === '8064') {
      const flags = at(edx + edi + view.getInt8(ip + 3));
      memory[flags] = (memory[flags] ?? 0) & (memory[ip + 4] ?? 0);
      ip += 5;
    } else if (opcode === 'fe42') {
      const checksum = at(edx + view.getInt8(ip + 2));
      memory[checksum] = (memory[checksum] ?? 0) + 1;
      ip += 3;
    } else if (opcode === '8024') {
      const flags = at(8 * ecx + imm(ip + 3));
      memory[flags] = (memory[flags] ?? 0) & (memory[ip + 7] ?? 0);
      ip += 8;
    } else if (opcode === 'fe04') {
      const checksum = at(imm(ip + 3));
      memory[checksum] = (memory[checksum] ?? 0) + 1;
      ip += 7;
    } else if (one === 'eb') ip += 2 + view.getInt8(ip + 1);
    else if (one === '31')
      ip += 2; // xor of a register with itself
    else if (opcode === '48b8') [rax, ip] = [view.getBigUint64(ip + 2, true), ip + 10];
    else if (opcode === 'ffe0') return rax;
    else throw new Error(`unknown instruction ${opcode} at ${ip}`);
  }
  throw new Error('the fix-up does not end');
}

describe('importProcessors', () => {
  it('uses four pages of low memory, one of them for VP_COUNT, and starts at the fix-up', async () => {
    const { guest, rip } = await layOut(4);
    expect(rip).toBe(0x9d000n);
    expect(guest.map).toEqual([
      'linux-acpi-tables 9c000-9d000',
      'linux-vp-count-fix-up 9d000-9e000',
      'linux-vp-count 9e000-9f000',
      'linux-mp-table 9f000-a0000',
    ]);
    expect(guest.directives('parameter')).toEqual([{ type: 'parameter', kind: 'vpCount', index: 0, byteOffset: 0 }]);
    expect(guest.directives('parameterInsert')).toMatchObject([{ gpa: 0x9e000, index: 0 }]);
  });

  it('has a pointer in the last KiB of low memory to a table just below, both with correct checksums', async () => {
    const memory = memoryOf((await layOut(4)).guest, 4);
    const pointer = memory.subarray(0x9fc00 - BASE, 0x9fc10 - BASE);
    expect(new TextDecoder().decode(pointer.subarray(0, 4))).toBe('_MP_');
    expect([pointer[8], pointer[9], sum(pointer)]).toEqual([1, 4, 0]);
    const table = tableOf(memory);
    expect(new TextDecoder().decode(table.subarray(0, 4))).toBe('PCMP');
    expect(sum(table)).toBe(0);
    expect(new DataView(table.buffer, table.byteOffset).getUint32(36, true)).toBe(0xfee00000);
  });

  it('has ACPI tables with the same contents, and without power management', async () => {
    const tables = acpiOf(memoryOf((await layOut(3)).guest, 3));
    expect([...tables.keys()]).toEqual(['XSDT', 'FACP', 'APIC', 'DSDT']);
    const madt = tables.get('APIC')!;
    expect([madt.readUInt32LE(36), madt.readUInt32LE(40)]).toEqual([0xfee00000, 1]);
    const entries: number[][] = [];
    for (let at = 44; at < madt.length; at += madt[at + 1]!) entries.push([...madt.subarray(at, at + madt[at + 1]!)]);
    expect(entries.slice(0, 3)).toEqual([0, 1, 2].map((id) => [0, 8, id, id, 1, 0, 0, 0]));
    expect(entries.slice(3)).toEqual([
      [1, 12, 3, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0],
      [2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
      [4, 6, 0xff, 0, 0, 1],
    ]);
    const fadt = tables.get('FACP')!;
    expect([fadt.length, fadt.readUInt16LE(109), fadt.readUInt32LE(112)]).toEqual([276, 3, 0]);
    expect([...fadt.subarray(148, 268)].every((byte) => byte === 0)).toBe(true);
  });

  it('lists processors, of which the first boots, then the bus, the I/O APIC and interrupts', async () => {
    const table = tableOf(memoryOf((await layOut(2)).guest, 2));
    const entries: Uint8Array[] = [];
    for (let at = 44; at < table.length; at += table[at] === 0 ? 20 : 8) {
      entries.push(table.subarray(at, at + (table[at] === 0 ? 20 : 8)));
    }
    expect(entries).toHaveLength(new DataView(table.buffer, table.byteOffset).getUint16(34, true));
    expect(entries.map(([type]) => type)).toEqual([0, 0, 1, 2, ...Array.from({ length: 15 }, () => 3), 4, 4]);
    expect(entries.slice(0, 2).map((entry) => [entry[1], entry[3]])).toEqual([
      [0, 3],
      [1, 1],
    ]);
    // The I/O APIC's ID differs from those of processors. Only the timer is on pin 2.
    expect(entries[3]?.[1]).toBe(2);
    const pins = entries.slice(4, 19).map((entry) => [entry[5], entry[7]]);
    expect(pins.slice(0, 3)).toEqual([
      [0, 2],
      [1, 1],
      [3, 3],
    ]);
    expect(pins.at(-1)).toEqual([15, 15]);
  });

  it.each([
    [4, 4, [true, true, true, true]],
    [4, 9, [true, true, true, true]],
    [4, 2, [true, true, false, false]],
    [4, 1, [true, false, false, false]],
    [4, 0, [true, false, false, false]],
    [1, 1, [true]],
  ])(
    'of %d processors leaves those enabled that a VM with %d has, and starts the kernel',
    async (count, vpCount, expected) => {
      const memory = memoryOf((await layOut(count)).guest, vpCount);
      expect(run(memory)).toBe(KERNEL);
      const table = tableOf(memory);
      expect(enabled(table, count)).toEqual(expected);
      expect(sum(table)).toBe(0);
      const madt = acpiOf(memory).get('APIC')!;
      expect(madt.toString('latin1', 10, 16)).toBe('IGVM  ');
      expect(Array.from({ length: count }, (_, id) => madt.readUInt32LE(48 + 8 * id) === 1)).toEqual(expected);
    },
  );

  it('has room for 143 processors', async () => {
    const memory = memoryOf((await layOut(143)).guest, 142);
    expect(run(memory)).toBe(KERNEL);
    expect(enabled(tableOf(memory), 143).filter(Boolean)).toHaveLength(142);
    await expect(layOut(144)).rejects.toMatchObject({
      code: 'CONFIG_UNSUPPORTED',
      message: expect.stringContaining('room for 143') as string,
    });
  });
});
