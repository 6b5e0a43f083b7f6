import { vmmArguments } from './boot';

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
