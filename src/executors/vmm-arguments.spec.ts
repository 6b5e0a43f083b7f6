import { vmmArguments } from './boot';

describe('arguments for the VMM', () => {
  const options = ['cpus', 'vmmPath', 'until', 'commandLine'];
  const rest = (line: string, more?: { takesLongOptions: boolean }): string =>
    vmmArguments(line.split(' '), options, more).join(' ');

  it('are those that are no options of the executor', () => {
    expect(rest('-device virtio-rng-pci,bus=pcie.0 -s')).toBe('-device virtio-rng-pci,bus=pcie.0 -s');
    expect(rest('--disk path=a.img', { takesLongOptions: true })).toBe('--disk path=a.img');
  });

  it('leave options and their values behind, in both spellings', () => {
    expect(rest('--cpus=2 -s --vmm-path ./qemu --vmmPath=./qemu -S')).toBe('-s -S');
  });

  it('leave behind what Nx leaves of its own', () => expect(rest('--verbose -s')).toBe('-s'));

  it('include what follows an option without a value', () => {
    expect(rest('--until -device x')).toBe('-device x');
  });

  it('may be none', () => {
    expect(vmmArguments([], options)).toEqual([]);
  });

  it.each(['--comandLine=x', '--command-lin x', '--untill=a -s', '--cpu 2'])('are no misspelt options: %s', (line) => {
    for (const takesLongOptions of [false, true]) {
      expect(() => rest(line, { takesLongOptions })).toThrow(
        expect.objectContaining({
          code: 'BOOT_OPTION',
          message: expect.stringMatching(/; did you mean "--[a-z-]+"\?$/),
        }),
      );
    }
  });

  it('of QEMU have one dash, so that whatever has two is no option at all', () => {
    expect(() => rest('--disk path=a.img')).toThrow('nx-igvm:boot has no option "--disk"; QEMU');
  });
});
