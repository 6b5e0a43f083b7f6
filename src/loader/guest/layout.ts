/** Where everything lies in the memory of a guest, and the map file that shows it. */
import { IgvmError, unreachable } from '../../errors/igvm-error';
import { hex, hexRange } from '../../errors/printable';
import type { PageAcceptance } from '../../igvm/model';
import { GPA_LIMIT, PAGE_SIZE } from '../../memory/page';
import type { RelocationRegion } from './importer';
import { type GuestIsolation, policyFields, SNP_POLICY_FIELDS, TDX_POLICY_FIELDS } from './guest-platform';

/** Guest pages that something was imported into, or that a parameter area reserves. */
export interface AcceptedRange {
  /** First page number. */
  pageBase: number;
  pageCount: number;
  /** What the pages hold, as the map file names it. */
  tag: string;
  acceptance: PageAcceptance;
}

const end = (range: AcceptedRange): number => range.pageBase + range.pageCount;
const place = (range: AcceptedRange): string => hexRange(range.pageBase * PAGE_SIZE, end(range) * PAGE_SIZE);

/** Which pages of the guest are in use, and for what. No page is used twice. */
export class AcceptedRanges {
  /** By ascending page number, disjoint. */
  private ranges: AcceptedRange[] = [];

  /** The ranges by ascending address. */
  list(): readonly AcceptedRange[] {
    return this.ranges;
  }

  /**
   * Marks pages as used. @throws IgvmError LAYOUT_OVERLAP naming both ranges; LAYOUT_OUT_OF_RANGE for pages beyond 2^52
   */
  accept(range: AcceptedRange): void {
    const { pageBase, pageCount, tag } = range;
    if (!(Number.isInteger(pageBase) && pageBase >= 0 && Number.isInteger(pageCount) && pageCount > 0)) {
      unreachable(`import of ${pageCount} pages at page ${pageBase} (${tag})`);
    }
    if (end(range) * PAGE_SIZE > GPA_LIMIT) {
      throw new IgvmError(
        'LAYOUT_OUT_OF_RANGE',
        `${tag} at ${place(range)} lies beyond the 52 bits of a guest address`,
        { gpa: { start: pageBase * PAGE_SIZE, end: end(range) * PAGE_SIZE } },
      );
    }
    const next = this.firstEndingAfter(pageBase);
    const other = this.ranges[next];
    if (other !== undefined && other.pageBase < end(range)) {
      throw new IgvmError('LAYOUT_OVERLAP', `${tag} at ${place(range)} overlaps ${other.tag} at ${place(other)}`, {
        gpa: {
          start: Math.max(pageBase, other.pageBase) * PAGE_SIZE,
          end: Math.min(end(range), end(other)) * PAGE_SIZE,
        },
      });
    }
    this.ranges.splice(next, 0, range);
  }

  /**
   * Merges neighbours with the same tag and acceptance: kernels are imported in several parts, but maps show them as
   * one.
   */
  mergeAdjacent(): void {
    const merged: AcceptedRange[] = [];
    for (const range of this.ranges) {
      const last = merged.at(-1);
      if (
        last !== undefined &&
        end(last) === range.pageBase &&
        last.tag === range.tag &&
        last.acceptance === range.acceptance
      ) {
        merged[merged.length - 1] = { ...last, pageCount: last.pageCount + range.pageCount };
      } else {
        merged.push(range);
      }
    }
    this.ranges = merged;
  }

  /** The page number after the last range. */
  end(): number {
    const last = this.ranges.at(-1);
    return last === undefined ? 0 : end(last);
  }

  /** The free stretches among the first `pageLimit` pages of the guest, by ascending address. */
  gaps(pageLimit: number): { pageBase: number; pageCount: number }[] {
    const gaps: { pageBase: number; pageCount: number }[] = [];
    let free = 0;
    const close = (until: number): void => {
      if (until > free) gaps.push({ pageBase: free, pageCount: until - free });
    };
    for (const range of this.ranges) {
      if (range.pageBase >= pageLimit) break;
      close(range.pageBase);
      free = end(range);
    }
    close(pageLimit);
    return gaps;
  }

  /** Index of the first range that ends after `page`. */
  private firstEndingAfter(page: number): number {
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = this.ranges[middle];
      if (range !== undefined && end(range) <= page) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

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

/** One guest's part of the `.map` file: where everything lies in its memory. Addresses and sizes in bytes. */
export interface MapFile {
  isolation: GuestIsolation;
  /** By ascending address. */
  acceptedRanges: readonly AcceptedRange[];
  /** Memory that code in the guest accepts at boot, by ascending address; absent if there is no such code. */
  reportedRanges?: readonly { pageBase: number; pageCount: number; tag: string }[];
  /** In the order in which they were required. */
  requiredMemory: readonly { gpa: number; size: number; vtl2Protectable: boolean }[];
  /** By ascending address. */
  relocatableRegions: readonly { kind: 'region' | 'pageTable'; gpa: number; size: number }[];
}

const address = (value: number): string => value.toString(16).padStart(16, '0');
const line = (start: number, size: number, what: string): string =>
  `  ${address(start)} - ${address(start + size)} (0x${size.toString(16)} bytes) ${what}\n`;

const struct = (name: string, fields: readonly (readonly [string, unknown])[]): string =>
  `${name} { ${fields.map(([field, value]) => `${field}: ${String(value)}`).join(', ')} }`;

const variant = (name: string): string => `${name.charAt(0).toUpperCase()}${name.slice(1)}`;

/** The isolation as the reference's map files print it. */
function isolationText(isolation: GuestIsolation): string {
  switch (isolation.type) {
    case 'none':
      return 'None';
    case 'vbs':
      return struct('Vbs', [['enable_debug', isolation.enableDebug]]);
    case 'snp': {
      const bits = isolation.sharedGpaBoundaryBits;
      return struct('Snp', [
        ['shared_gpa_boundary_bits', bits === undefined ? 'None' : `Some(${bits})`],
        ['policy', struct('SnpPolicy', policyFields(isolation.policy, SNP_POLICY_FIELDS))],
        ['injection_type', variant(isolation.injectionType)],
        ['secure_avic', variant(isolation.secureAvic)],
      ]);
    }
    case 'tdx':
      return struct('Tdx', [['policy', struct('TdxPolicy', policyFields(isolation.policy, TDX_POLICY_FIELDS))]]);
  }
}

/** One guest's part of the map file, in the reference's form (file_loader.rs: MapFile). */
function mapText(map: MapFile): string {
  let text = `IGVM file isolation: ${isolationText(map.isolation)}\nIGVM file layout:\n`;
  for (const range of map.acceptedRanges) {
    text += line(range.pageBase * PAGE_SIZE, range.pageCount * PAGE_SIZE, range.tag);
  }
  const reported = map.reportedRanges ?? [];
  if (reported.length > 0) text += 'IGVM file reported ranges:\n';
  for (const range of reported) {
    text += line(range.pageBase * PAGE_SIZE, range.pageCount * PAGE_SIZE, `${range.tag} [PVALIDATE]`);
  }
  if (map.requiredMemory.length > 0) text += 'IGVM file required memory:\n';
  for (const memory of map.requiredMemory) {
    text += line(memory.gpa, memory.size, memory.vtl2Protectable ? 'VTL2 protectable' : '');
  }
  if (map.relocatableRegions.length > 0) text += 'IGVM file relocatable regions:\n';
  for (const region of map.relocatableRegions) {
    text += line(region.gpa, region.size, `${region.kind === 'pageTable' ? 'pagetable ' : ''}relocation region`);
  }
  return text;
}

/** The whole map file: every guest in the manifest's order, a blank line after each. */
export const mapFileText = (maps: readonly MapFile[]): string => maps.map((map) => `${mapText(map)}\n`).join('');
