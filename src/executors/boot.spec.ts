import { finished } from 'node:stream/promises';
import { collecting } from '../boot/fake-vmm.fixture';
import { vmmArguments, WholeLines } from './boot';

describe('arguments for the VMM', () => {
  const options = ['cpus', 'vmmPath', 'until', 'commandLine'];
  const rest = (line: string, more?: { takesLongOptions: boolean }): string =>
    vmmArguments(line.split(' '), options, more).join(' ');

  it('are those that are not options of the executor', () => {
    expect(rest('-device virtio-rng-pci,bus=pcie.0 -s')).toBe('-device virtio-rng-pci,bus=pcie.0 -s');
    expect(rest('--disk path=a.img', { takesLongOptions: true })).toBe('--disk path=a.img');
  });

  it('do not include options and their values, in either spelling', () => {
    expect(rest('--cpus=2 -s --vmm-path ./qemu --vmmPath=./qemu -S')).toBe('-s -S');
  });

  it("do not include Nx's own options", () => expect(rest('--verbose -s')).toBe('-s'));

  it('include an argument after an option without a value', () => {
    expect(rest('--until -device x')).toBe('-device x');
  });

  it('may be empty', () => {
    expect(vmmArguments([], options)).toEqual([]);
  });

  it.each(['--comandLine=x', '--command-lin x', '--untill=a -s', '--cpu 2'])(
    'do not include misspelt options, which are refused: %s',
    (line) => {
      for (const takesLongOptions of [false, true]) {
        expect(() => rest(line, { takesLongOptions })).toThrow(
          expect.objectContaining({
            code: 'BOOT_OPTION',
            message: expect.stringMatching(/; did you mean "--[a-z-]+"\?$/),
          }),
        );
      }
    },
  );

  it('have one dash for QEMU, so two dashes are refused', () => {
    expect(() => rest('--disk path=a.img')).toThrow('nx-igvm:boot has no option "--disk"; QEMU');
  });
});

describe('whole lines', () => {
  let written: string[];
  let lines: WholeLines;
  beforeEach(() => {
    written = [];
    lines = new WholeLines(collecting((text) => written.push(text)));
  });
  afterEach(() => jest.useRealTimers());

  it('are assembled from pieces, and followed by the rest', async () => {
    for (const piece of ['Linux ver', 'sion 6\r\nCommand', ' line\r\n', 'Kernel panic', ' - not']) lines.write(piece);
    expect(written).toEqual(['Linux version 6\r\n', 'Command line\r\n']);
    lines.end();
    await finished(lines);
    expect(written).toEqual(['Linux version 6\r\n', 'Command line\r\n', 'Kernel panic - not']);
  });

  it('keep every byte', async () => {
    const got: Buffer[] = [];
    const target = collecting(() => undefined);
    target._write = (bytes: Buffer, _, done) => {
      got.push(bytes);
      done();
    };
    const all = Buffer.from(Array.from({ length: 4096 }, (_, index) => index % 251));
    const exact = new WholeLines(target);
    for (let at = 0; at < all.length; at += 13) exact.write(all.subarray(at, at + 13));
    exact.end();
    await finished(exact);
    expect(Buffer.concat(got).equals(all)).toBe(true);
  });

  it('are not awaited after a prompt', () => {
    jest.useFakeTimers({ doNotFake: ['nextTick'] });
    lines.write('\nlogin: ');
    jest.advanceTimersByTime(400);
    expect(written).toEqual(['\n']);
    jest.advanceTimersByTime(200);
    expect(written).toEqual(['\n', 'login: ']);
  });
});
