import { formatMemorySize, readMemorySize } from './page';

describe('a memory size', () => {
  it.each([
    ['512M', 2 ** 29],
    ['512MiB', 2 ** 29],
    ['1g', 2 ** 30],
    ['1 GiB', 2 ** 30],
    ['8 K', 8192],
    ['64kb', 65536],
    ['100', 100],
    [536870912, 2 ** 29],
    ['536870912', 2 ** 29],
  ])('%j is %d bytes', (text, bytes) => expect(readMemorySize(text)).toBe(bytes));

  it.each(['', 'M', 'all', '1.5G', '-1G', '0', '1T', '99999999999999999999G'])('%j is invalid', (text) => {
    expect(readMemorySize(text)).toBeUndefined();
  });

  it('is shown in MiB, rounded up', () => {
    expect(formatMemorySize(2 ** 29)).toBe('512 MiB');
    expect(formatMemorySize(2 ** 29 + 1)).toBe('513 MiB');
  });
});
