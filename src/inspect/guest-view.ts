import type { Facts } from '../image/guest-facts';
import { ovmfMeasured, ukiFacts } from '../image/ovmf-facts';
import type { DescribedRegion } from '../image/described-image';
import { type DumpRecord, type DumpValue, fieldsText } from '../igvm/dump';
import type { IgvmFile, VpContextDirective } from '../igvm/model';
import { type GuestRegion, joinRegions } from '../regions/guest-regions';
import { describeVpContext } from '../vp-context/decode';
import type { PageGuest } from './described-page';
import { capitalized } from './html';
import { layOut, type MapLayout } from './map-layout';
import { registerAddress } from './register-meaning';

/** A row of the map: a region, or adjacent regions with the same name and kind. */
export interface MapRow extends GuestRegion {
  /** By ascending address; at least one. */
  parts: readonly DescribedRegion[];
  /** Whether the launch digest covers the contents; undefined if it covers only some of the parts. */
  isMeasured?: boolean;
  /** The id of the element that describes it. */
  id: string;
}

/** A range of memory that a header describes. */
export interface StatedRange {
  gpa: number;
  end: number;
  label: string;
}

/** The registers that a processor starts with. */
export interface ProcessorView {
  index: number;
  format: string;
  registers: DumpRecord[];
}

/** The guest of one platform, as the page shows it. */
export interface GuestView extends PageGuest {
  /** Its index among the platforms of the file. */
  index: number;
  rows: MapRow[];
  layout: MapLayout<MapRow>;
  ranges: StatedRange[];
  rangeCount: number;
  processors: ProcessorView[];
  /** The number of processors, of which not all may be shown. */
  processorCount: number;
  /** For an OVMF image: what is measured and what isn't. */
  measured?: string;
  /** For an OVMF image: facts about the sections of its UKIs. */
  uki: Facts;
  /** The registers of the first processor that point into a row, by the row's index. */
  pointers: Map<number, string[]>;
}

/** Limits, beyond which a page would no longer be readable. */
const MOST_ROWS = 400;
const MOST_RANGES = 16;
const MOST_PROCESSORS = 64;

/** Most bytes between two regions that share a row. */
const MOST_BETWEEN = 4 * 2 ** 20;

/** The guests of an image, in the order of its platform headers. */
export function guestViews(file: IgvmFile, guests: readonly PageGuest[]): GuestView[] {
  const measured = ovmfMeasured(file);
  const uki = ukiFacts(file);
  return guests.map((guest, index): GuestView => {
    const { compatibilityMask } = guest.header;
    const rows = rowsOf(guest.regions, index);
    const ranges = rangesOf(file, compatibilityMask);
    const contexts = contextsOf(file, compatibilityMask);
    const processors = contexts.slice(0, MOST_PROCESSORS).map((context) => processorView(context, file));
    return {
      ...guest,
      label: capitalized(guest.label),
      index,
      rows,
      layout: layOut(rows),
      ranges: ranges.slice(0, MOST_RANGES),
      rangeCount: ranges.length,
      processors,
      processorCount: contexts.length,
      measured,
      uki,
      pointers: pointersInto(rows, processors[0]?.registers ?? []),
    };
  });
}

/** The row that an address lies in. */
export const rowAt = (rows: readonly MapRow[], address: number): number =>
  rows.findIndex(({ gpa, end }) => gpa <= address && address < end);

/** Adjacent regions that look the same to a reader share a row. If too many rows are left, the closest are joined, too. */
function rowsOf(regions: readonly DescribedRegion[], guest: number): MapRow[] {
  const folded: DescribedRegion[][] = [];
  for (const region of regions) {
    const group = folded.at(-1);
    const last = group?.at(-1);
    if (group !== undefined && last !== undefined && isSameKind(last, region)) group.push(region);
    else folded.push([region]);
  }
  const rows = folded.map((parts) => ({ ...joined(parts), isMeasured: partsMeasured(parts), parts }));
  const ids = new Map<string, number>();
  return fewer(rows).map((row) => {
    const id = `region-${guest}-0x${row.gpa.toString(16)}`;
    const count = (ids.get(id) ?? 0) + 1;
    ids.set(id, count);
    return { ...row, id: count === 1 ? id : `${id}-${count}` };
  });
}

const isSameKind = (a: DescribedRegion, b: DescribedRegion): boolean =>
  a.kind === b.kind &&
  a.isMeasured === b.isMeasured &&
  a.marks.join() === b.marks.join() &&
  a.tags[0] === b.tags[0] &&
  // Regions without a name belong together only if their kind says so.
  (a.tags.length > 0 || a.kind === 'vpContext' || a.kind === 'empty') &&
  a.kind !== 'parameters' &&
  b.gpa >= a.end &&
  b.gpa - a.end <= MOST_BETWEEN;

function joined(parts: readonly DescribedRegion[]): GuestRegion {
  const [first] = parts as [DescribedRegion];
  return {
    ...first,
    end: parts.at(-1)?.end ?? first.end,
    emptyPages: parts.reduce((sum, { emptyPages }) => sum + emptyPages, 0),
    spans: parts.flatMap(({ spans }) => spans),
    processors: parts.flatMap(({ processors }) => processors),
  };
}

const partsMeasured = (parts: readonly DescribedRegion[]): boolean | undefined => {
  const measured = parts.filter(({ isMeasured }) => isMeasured).length;
  return measured === 0 ? false : measured === parts.length ? true : undefined;
};

type Row = Omit<MapRow, 'id'>;

function fewer(rows: readonly Row[]): readonly Row[] {
  if (rows.length <= MOST_ROWS) return rows;
  let next = 0;
  return joinRegions(rows, MOST_ROWS).map((region) => {
    const parts: DescribedRegion[] = [];
    for (; next < rows.length && (rows[next] as Row).gpa < region.end; next++) {
      for (const part of (rows[next] as Row).parts) parts.push(part);
    }
    return { ...region, parts, isMeasured: partsMeasured(parts) };
  });
}

function rangesOf({ initializations, directives }: IgvmFile, mask: number): StatedRange[] {
  const ranges: StatedRange[] = [];
  for (const header of [...initializations, ...directives]) {
    if (!('gpa' in header) || !('size' in header) || (header.compatibilityMask & mask) === 0) continue;
    const { gpa, size } = header;
    ranges.push({ gpa, end: gpa + size, label: rangeLabel(header) });
  }
  return ranges;
}

function rangeLabel(header: { type: string; vtl2Protectable?: boolean }): string {
  switch (header.type) {
    case 'requiredMemory':
      return header.vtl2Protectable === true ? 'Required memory, VTL2 protectable' : 'Required memory';
    case 'relocatableRegion':
      return 'Relocatable';
    case 'pageTableRelocation':
      return 'Relocatable page tables';
    default:
      return 'Error range';
  }
}

const contextsOf = ({ directives }: IgvmFile, mask: number): VpContextDirective[] =>
  directives.filter(
    (directive): directive is VpContextDirective =>
      directive.type === 'vpContext' && (directive.compatibilityMask & mask) !== 0,
  );

const processorView = (context: VpContextDirective, { arch }: IgvmFile): ProcessorView => ({
  index: context.vpIndex,
  format: context.format,
  registers: describeVpContext(context, arch),
});

/** The meaning of a field of the first processor, such as its SEV features, in the format's own names. */
export function firstProcessorMeaning({ processors }: GuestView, name: string): DumpValue | undefined {
  const register = processors[0]?.registers.find((each) => each['name'] === name);
  return register?.['meaning'];
}

function pointersInto(rows: readonly MapRow[], registers: readonly DumpRecord[]): Map<number, string[]> {
  const pointers = new Map<number, string[]>();
  for (const register of registers) {
    const address = registerAddress(register);
    const row = address === undefined ? -1 : rowAt(rows, address);
    if (row === -1) continue;
    pointers.set(row, [...(pointers.get(row) ?? []), fieldsText({ name: register.name ?? '' })]);
  }
  return pointers;
}
