import { bytesSource } from '../memory/byte-source';
import { GuestPages } from './guest-pages';
import { isIdentityMapped } from './pvh-export';
import { quads } from './native-image.fixture';

/** Tables at 0x1000 (PML4), 0x2000 (PDPT), 0x3000 (PD), 0x4000 (PT), all through their entries 0. */
const mapped = (pdpt: bigint[], pd: bigint[] = [], pt: bigint[] = []) => {
  const tables = [[0x2003n], pdpt, pd, pt].map((entries, index) => ({
    gpa: 0x1000 * (index + 1),
    size: 0x1000,
    content: bytesSource(quads(...entries)),
  }));
  const pages = new GuestPages(tables);
  return (address: number): boolean => isIdentityMapped(pages, 0x1000n, address);
};

describe('identity mapping', () => {
  it('is found in pages of 1 GiB, 2 MiB and 4 KiB', () => {
    expect(mapped([0n, (1n << 30n) | 0x83n])(0x40001000)).toBe(true);
    expect(mapped([0x3003n], [0n, 0x200083n])(0x3ff000)).toBe(true);
    expect(mapped([0x3003n], [0x4003n], [0n, 0x1003n])(0x1234)).toBe(true);
  });

  it('ignores bits outside the address, such as NX and accessed', () => {
    expect(mapped([0n, (1n << 63n) | (1n << 30n) | 0xe3n])(0x40001000)).toBe(true);
  });

  it('is missing where an entry is not present or points elsewhere', () => {
    expect(mapped([0n])(0x1000)).toBe(false);
    expect(mapped([(1n << 30n) | 0x83n])(0x1000)).toBe(false);
    expect(mapped([0x3003n], [0x4003n], [0n, 0x5003n])(0x1234)).toBe(false);
  });

  it('is missing where a table is not in the image', () => {
    expect(mapped([0x9003n])(0x1000)).toBe(false);
  });

  it('is missing where a table points to itself in a loop', () => {
    expect(mapped([0x2003n], [], [])(0x1000)).toBe(false);
  });
});
