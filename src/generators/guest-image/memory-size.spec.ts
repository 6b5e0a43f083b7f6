import { parseMemorySize } from './scaffold';

describe('the option memorySize', () => {
  it('may be text or a number, as Nx makes one of digits', () => {
    expect(parseMemorySize('1g')).toBe(2 ** 30);
    expect(parseMemorySize(536870912)).toBe(2 ** 29);
  });

  it('has to be a size', () => {
    expect(() => parseMemorySize('5T')).toThrow('memorySize "5T" is not a size like 512M or 1G');
  });

  it('has to be whole pages', () => {
    expect(() => parseMemorySize('4097')).toThrow('is not a multiple of 4096 bytes');
    expect(() => parseMemorySize('1M', 2 ** 21)).toThrow('is not a multiple of 2097152 bytes');
  });
});
