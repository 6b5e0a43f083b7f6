import { guestStartFile, LARGEST_GUEST_START, type GuestStart } from './guest-start';

const ADDRESS = 0x1000_0000;

/** Follows addresses in the file, as the first program does in memory. */
function reader(start: GuestStart) {
  const bytes = Buffer.from(guestStartFile(start));
  const word = (at: number): bigint => bytes.readBigUInt64LE(at);
  const place = (value: bigint): number => Number(value) - ADDRESS;
  const text = (value: bigint): string => bytes.toString('utf8', place(value), bytes.indexOf(0, place(value)));
  const field = (index: number): bigint => word(index * 8);
  const list = (index: number): bigint[] => {
    const values: bigint[] = [];
    for (let at = place(field(index)); word(at) !== 0n; at += 8) values.push(word(at));
    return values;
  };
  const rows = (index: number, width: number): bigint[][] => {
    const found: bigint[][] = [];
    for (let at = place(field(index)); word(at) !== 0n; at += width * 8) {
      found.push(Array.from({ length: width }, (_, column) => word(at + column * 8)));
    }
    return found;
  };
  return { bytes, text, field, list, rows, place };
}

describe('guestStartFile', () => {
  it('lists modules in their order, and nothing else if nothing else is given', () => {
    const { list, rows, field, text } = reader({ modules: ['.guest/modules/b.ko', '.guest/modules/a.ko'] });
    expect(list(0).map(text)).toEqual(['/.guest/modules/b.ko', '/.guest/modules/a.ko']);
    expect([rows(1, 4), rows(2, 2)]).toEqual([[], []]);
    expect(field(4)).toBe(0n);
  });

  it('describes a process with its arguments, variables, folder, groups and numbers', () => {
    const { list, field, text, bytes, place } = reader({
      process: {
        program: '/usr/bin/node',
        arguments: ['node', '', 'ä'],
        environment: ['A=1', 'B='],
        workingDirectory: '/app',
        user: 1000,
        group: 1001,
        groups: [29, 4_000_000_000],
      },
    });
    expect(text(field(4))).toBe('/usr/bin/node');
    expect(list(5).map(text)).toEqual(['node', '', 'ä']);
    expect(list(6).map(text)).toEqual(['A=1', 'B=']);
    expect(text(field(7))).toBe('/app');
    expect([field(8), field(10), field(11)]).toEqual([2n, 1001n, 1000n]);
    expect([0, 4].map((at) => bytes.readUInt32LE(place(field(9)) + at))).toEqual([29, 4_000_000_000]);
  });

  it('adds what containers expect in /dev', () => {
    const process = {
      program: '/a',
      arguments: [],
      environment: [],
      workingDirectory: '/',
      user: 0,
      group: 0,
      groups: [],
    };
    const { rows, text } = reader({ process });
    expect(rows(1, 4).map(([type, path]) => [text(type!), text(path!)])).toEqual([
      ['devpts', '/dev/pts'],
      ['tmpfs', '/dev/shm'],
    ]);
    expect(rows(2, 2).map(([target, path]) => [text(target!), text(path!)])).toContainEqual([
      '/proc/self/fd/1',
      '/dev/stdout',
    ]);
  });

  it('sets the address of an interface with the requests of the kernel', () => {
    const network = { interface: 'eth0', address: '10.0.2.15/20', gateway: '10.0.2.2' };
    const { rows, text, bytes, place } = reader({ network });
    const requests = rows(3, 3).map(([request, data, what]) => ({
      request: Number(request),
      what: text(what!),
      data: (from: number, length: number) =>
        bytes.subarray(place(data!) + from, place(data!) + from + length).toString('hex'),
      name: bytes.toString('latin1', place(data!), place(data!) + 4).replace(/\0/g, ''),
    }));
    expect(requests.map(({ request, what }) => [request.toString(16), what])).toEqual([
      ['8914', 'turn on lo'],
      ['8916', 'give eth0 the address 10.0.2.15'],
      ['891c', 'give eth0 a netmask'],
      ['8914', 'turn on eth0'],
      ['890b', 'reach others by way of 10.0.2.2'],
    ]);
    expect(requests.slice(0, 4).map(({ name }) => name)).toEqual(['lo', 'eth0', 'eth0', 'eth0']);
    expect(requests[0]!.data(16, 2)).toBe('4100');
    expect(requests[1]!.data(16, 8)).toBe('020000000a00020f');
    expect(requests[2]!.data(16, 8)).toBe('02000000fffff000');
    expect(requests[4]!.data(8, 16)).toBe('02000000000000000000000000000000');
    expect(requests[4]!.data(24, 8)).toBe('020000000a000202');
    expect(requests[4]!.data(56, 2)).toBe('0300');
  });

  it.each([
    [0, '00000000'],
    [1, '80000000'],
    [24, 'ffffff00'],
    [32, 'ffffffff'],
  ])('computes the netmask for a prefix of %i bits', (bits, mask) => {
    const { rows, bytes, place } = reader({ network: { interface: 'eth0', address: `1.2.3.4/${bits}` } });
    const at = place(rows(3, 3)[2]![1]!);
    expect(bytes.toString('hex', at + 20, at + 24)).toBe(mask);
  });

  it('refuses more data than the first program maps', () => {
    const environment = ['A='.padEnd(LARGEST_GUEST_START, 'x')];
    const process = { program: '/a', arguments: [], environment, workingDirectory: '/', user: 0, group: 0, groups: [] };
    expect(() => guestStartFile({ process })).toThrow(/the limit is 1048576/);
  });
});
