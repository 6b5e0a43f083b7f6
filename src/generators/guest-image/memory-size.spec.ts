import { parseMemorySize } from './scaffold';

describe('the option memorySize', () => {
  it('may be text or a number, because Nx converts digits to a number', () => {
    expect(parseMemorySize('1g')).toBe(2 ** 30);
    expect(parseMemorySize(536870912)).toBe(2 ** 29);
  });

  it('must be a size', () => {
    expect(() => parseMemorySize('5T')).toThrow('memorySize "5T" is not a size like 512M or 1G');
  });

  it('must be a multiple of the page size', () => {
    expect(() => parseMemorySize('4097')).toThrow('is not a multiple of 4096 bytes');
    expect(() => parseMemorySize('1M', 2 ** 21)).toThrow('is not a multiple of 2097152 bytes');
  });
});
