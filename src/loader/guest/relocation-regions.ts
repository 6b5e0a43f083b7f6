import { hex } from '../../errors/printable';
import { IgvmError } from '../../errors/igvm-error';
import { PAGE_SIZE } from '../../memory/page';
import type { RelocationRegion } from './importer';
import type { MapFile } from './map-file';

type Region = MapFile['relocatableRegions'][number];

/** The parts of a guest that the host may move. They don't overlap, and there is at most one page table. */
export class RelocationRegions {
  private readonly regions: Region[] = [];

  /** By ascending address. */
  list(): readonly Region[] {
    return [...this.regions].sort((a, b) => a.gpa - b.gpa);
  }

  /** @throws IgvmError LAYOUT_OVERLAP; IGVM_INVALID for addresses and sizes that are not aligned */
  addRegion({ gpa, size, alignment, minimumGpa, maximumGpa }: RelocationRegion): void {
    this.add({ kind: 'region', gpa, size });
    const aligned: [what: string, value: number, alignment: number][] = [
      ['size', size, PAGE_SIZE],
      ['alignment', alignment, PAGE_SIZE],
      ['base', gpa, alignment],
      ['minimum', minimumGpa, alignment],
      ['maximum', maximumGpa, alignment],
    ];
    for (const [what, value, unit] of aligned) {
      if (value % unit !== 0) {
        throw new IgvmError(
          'IGVM_INVALID',
          `the ${what} ${hex(value)} of a relocation is not a multiple of ${hex(unit)}`,
        );
      }
    }
  }

  /** @throws IgvmError LAYOUT_OVERLAP; IGVM_INVALID for a second page table, or one that uses more pages than it has */
  addPageTable(gpa: number, pageCount: number, usedPageCount: number): void {
    if (this.regions.some(({ kind }) => kind === 'pageTable')) {
      throw new IgvmError('IGVM_INVALID', 'the guest has a second page table to relocate');
    }
    if (usedPageCount > pageCount) {
      throw new IgvmError('IGVM_INVALID', `the page table uses ${usedPageCount} pages but has ${pageCount}`);
    }
    this.add({ kind: 'pageTable', gpa, size: pageCount * PAGE_SIZE });
  }

  private add(region: Region): void {
    const other = this.regions.find(({ gpa, size }) => gpa < region.gpa + region.size && region.gpa < gpa + size);
    if (other !== undefined) {
      throw new IgvmError(
        'LAYOUT_OVERLAP',
        `the relocation region at ${hex(region.gpa)}-${hex(region.gpa + region.size)} overlaps the one at ${hex(other.gpa)}-${hex(other.gpa + other.size)}`,
        { gpa: { start: region.gpa, end: region.gpa + region.size } },
      );
    }
    this.regions.push(region);
  }
}
