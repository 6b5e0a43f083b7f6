import { HIGH_MEMORY_START, LINUX_MAP, LOW_MEMORY_END, SNP_LINUX_MAP } from './linux-memory';
import { MP_FLOATING_POINTER_GPA } from './linux-processors';
import { buildIdentityMap } from '../cpu/page-tables-x64';

describe.each([
  ['linux', LINUX_MAP, LOW_MEMORY_END],
  ['snp_linux_direct', SNP_LINUX_MAP, HIGH_MEMORY_START],
])('the low memory of %s', (_, map, limit) => {
  it('has its regions in ascending order', () => {
    let end = 0x1000;
    for (const { gpa, size } of Object.values(map)) {
      expect(gpa).toBeGreaterThanOrEqual(end);
      end = gpa + size;
    }
    expect(end).toBeLessThanOrEqual(limit);
  });

  it('has room for page tables of the first 4 GiB', () => {
    const tables = buildIdentityMap({ pageTableGpa: map.pageTables.gpa });
    expect(tables.length).toBeLessThanOrEqual(map.pageTables.size);
  });
});

it('has the MP floating pointer for Linux in the last KiB of low memory', () => {
  expect(MP_FLOATING_POINTER_GPA).toBe(LOW_MEMORY_END - 1024);
  expect(MP_FLOATING_POINTER_GPA).toBeGreaterThan(LINUX_MAP.mpTable.gpa);
});
