import { parseMemorySize } from './memory-size';

describe('memory sizes', () => {
  it.each([
    ['536870912', 536870912],
    ['512M', 512 * 2 ** 20],
    ['512MiB', 512 * 2 ** 20],
    ['1g', 2 ** 30],
    ['8 K', 8192],
    [4096, 4096],
  ])('%j is %d bytes', (text, bytes) => {
    expect(parseMemorySize(text)).toBe(bytes);
  });

  it.each(['', 'all', '-1', '1.5G', '0', '99999999999999999', '5T'])('%j is no size', (text) => {
    expect(() => parseMemorySize(text)).toThrow(`memorySize "${text}" is not a size like 512M or 1G`);
  });

  it('have to be whole pages', () => {
    expect(() => parseMemorySize('4097')).toThrow('is not a multiple of 4096 bytes');
    expect(() => parseMemorySize('1M', 2 ** 21)).toThrow('is not a multiple of 2097152 bytes');
  });
});
