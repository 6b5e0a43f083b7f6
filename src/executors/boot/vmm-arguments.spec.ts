import { vmmArguments } from './vmm-arguments';

describe('arguments for the VMM', () => {
  const options = new Set(['cpus', 'vmmPath', 'until']);
  const rest = (line: string): string => vmmArguments(line.split(' '), options).join(' ');

  it('are those that are no options of the executor', () => {
    expect(rest('-device virtio-rng-pci,bus=pcie.0 -s')).toBe('-device virtio-rng-pci,bus=pcie.0 -s');
    expect(rest('--disk path=a.img')).toBe('--disk path=a.img');
  });

  it('leave options and their values behind, in both spellings', () => {
    expect(rest('--cpus=2 -s --vmm-path ./qemu --vmmPath=./qemu -S')).toBe('-s -S');
  });

  it('include what follows an option without a value', () => {
    expect(rest('--until -device x')).toBe('-device x');
  });

  it('may be none', () => {
    expect(vmmArguments([], options)).toEqual([]);
  });
});
