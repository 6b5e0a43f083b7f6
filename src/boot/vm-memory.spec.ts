import { parseVmMemory } from './vmm';

describe("a VM's memory", () => {
  it('is whole pages', () => {
    expect(parseVmMemory('512M')).toBe(2 ** 29);
    expect(parseVmMemory(4096)).toBe(4096);
  });

  it.each(['', 'all', '512', '4097'])('%j is an error of the option', (text) => {
    expect(() => parseVmMemory(text)).toThrow(expect.objectContaining({ code: 'BOOT_OPTION' }));
  });
});
