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

/** The guest's memory from 0x9d000 on: fix-up, VP_COUNT as its VMM writes it, table. */
function memoryOf(guest: LaidOutGuest, vpCount: number): Uint8Array {
  const memory = new Uint8Array(3 * 4096);
  memory.set(new Uint8Array(guest.page(0x9d000).buffer), 0);
  new DataView(memory.buffer).setUint32(0x1000, vpCount, true);
  memory.set(new Uint8Array(guest.page(0x9f000).buffer), 0x2000);
  return memory;
}

function tableOf(memory: Uint8Array): Uint8Array {
  const view = new DataView(memory.buffer);
  const at = view.getUint32(0x2c04, true) - 0x9d000;
  return memory.subarray(at, at + view.getUint16(at + 4, true));
}

const enabled = (table: Uint8Array, count: number): boolean[] =>
  Array.from({ length: count }, (_, id) => ((table[44 + 20 * id + 3] ?? 0) & 1) === 1);

/** Runs the fix-up: just the instructions that it has. Returns where it jumps to. */
function run(memory: Uint8Array): bigint {
  const view = new DataView(memory.buffer);
  const at = (address: number): number => address - 0x9d000;
  const imm = (offset: number): number => view.getUint32(offset, true);
  let [ip, eax, ecx, edx, edi, rax] = [0, 0, 0, 0, 0, 0n];
  for (let steps = 0; steps < 10_000; steps++) {
    const opcode = [...memory.subarray(ip, ip + 2)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    const one = opcode.slice(0, 2);
    if (one === 'b9') [ecx, ip] = [imm(ip + 1), ip + 5];
    else if (one === 'ba') [edx, ip] = [imm(ip + 1), ip + 5];
    else if (opcode === '8b01') [eax, ip] = [view.getUint32(at(ecx), true), ip + 2];
    else if (opcode === '83f8')
      ip += 3; // cmp eax, 1: its carry goes into the adc behind
    else if (opcode === '83d0') [eax, ip] = [eax < 1 ? eax + 1 : eax, ip + 3];
    else if (opcode === '39c1')
      ip += 2; // cmp ecx, eax: for the jbe behind
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
  it('takes three pages of low memory, one of them for VP_COUNT, and starts at the fix-up', async () => {
    const { guest, rip } = await layOut(4);
    expect(rip).toBe(0x9d000n);
    expect(guest.map).toEqual([
      'linux-vp-count-fix-up 9d000-9e000',
      'linux-vp-count 9e000-9f000',
      'linux-mp-table 9f000-a0000',
    ]);
    expect(guest.directives('parameter')).toEqual([{ type: 'parameter', kind: 'vpCount', index: 0, byteOffset: 0 }]);
    expect(guest.directives('parameterInsert')).toMatchObject([{ gpa: 0x9e000, index: 0 }]);
  });

  it('has a pointer in the last KiB of low memory to a table right below, both with right checksums', async () => {
    const memory = memoryOf((await layOut(4)).guest, 4);
    const pointer = memory.subarray(0x2c00, 0x2c10);
    expect(new TextDecoder().decode(pointer.subarray(0, 4))).toBe('_MP_');
    expect([pointer[8], pointer[9], sum(pointer)]).toEqual([1, 4, 0]);
    const table = tableOf(memory);
    expect(new TextDecoder().decode(table.subarray(0, 4))).toBe('PCMP');
    expect(sum(table)).toBe(0);
    expect(new DataView(table.buffer, table.byteOffset).getUint32(36, true)).toBe(0xfee00000);
  });

  it('lists processors, the first of which boots, then bus, I/O APIC and interrupts', async () => {
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
    // The I/O APIC's ID is no processor's; the timer is on pin 2, and nothing else is.
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
    'of %d processors leaves on what a VM with %d has, and goes on to the kernel',
    async (count, vpCount, expected) => {
      const memory = memoryOf((await layOut(count)).guest, vpCount);
      expect(run(memory)).toBe(KERNEL);
      const table = tableOf(memory);
      expect(enabled(table, count)).toEqual(expected);
      expect(sum(table)).toBe(0);
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
