import { formatSize, parseSize } from './memory-size';

describe('a memory size', () => {
  it.each([
    ['512M', 2 ** 29],
    ['1g', 2 ** 30],
    ['1 GiB', 2 ** 30],
    ['64k', 65536],
    [536870912, 2 ** 29],
    ['536870912', 2 ** 29],
  ])('%s is %d bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes));

  it.each(['', 'M', '512', '1.5G', '-1G', '0', '1T', '99999999999999999999G'])('%j is none', (text) => {
    expect(() => parseSize(text)).toThrow(expect.objectContaining({ code: 'BOOT_OPTION' }));
  });

  it('is shown in MiB, rounded up', () => {
    expect(formatSize(2 ** 29)).toBe('512 MiB');
    expect(formatSize(2 ** 29 + 1)).toBe('513 MiB');
  });
});
