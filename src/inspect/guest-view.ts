import type { ComparedImage } from '../diff/diff-images';
import { type DumpRecord, platformTypeName } from '../igvm/dump';
import { fieldsText } from '../igvm/dump-text';
import { type PageOverlap, pageOverlaps } from '../igvm/page-overlaps';
import type { IgvmFile, PlatformHeader, VpContextDirective } from '../igvm/model';
import { describeVpContext } from '../vp-context/decode';
import { type GuestRegion, guestRegions, joinRegions } from '../regions/guest-regions';
import { layOut, type MapLayout } from './map-layout';
import { registerAddress } from './register-meaning';

/** A range of a guest's memory that is no region of its own but says something of those within. */
export interface Overlay {
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
export interface GuestView {
  /** Its place among the file's platforms. */
  index: number;
  header: PlatformHeader;
  /** Name of the platform in the format. */
  platform: string;
  regions: GuestRegion[];
  /** How many there are before neighbours were joined. */
  regionCount: number;
  layout: MapLayout;
  overlays: Overlay[];
  /** Memory that the file fills more than once; a region shows the first layer. */
  doubled: PageOverlap[];
  processors: ProcessorView[];
  /** How many there are; only so many are shown. */
  processorCount: number;
  /** By index of a region: the registers of the first processor that point into it. */
  pointers: Map<number, string[]>;
}

/** A page with more regions or ranges shows nothing any more. */
const MOST_REGIONS = 400;
const MOST_OVERLAYS = 8;
const MOST_PROCESSORS = 64;

/** The guests of an image, in the order of its platform headers. */
export const guestViews = ({ file, map }: ComparedImage): GuestView[] =>
  file.platforms.map((header, index): GuestView => {
    const all = guestRegions(file, header.compatibilityMask, map?.[index] ?? []);
    const regions = joinRegions(all, MOST_REGIONS);
    const overlays = overlaysOf(file, header.compatibilityMask).slice(0, MOST_OVERLAYS);
    const layout = layOut(
      regions,
      overlays.reduce((end, overlay) => Math.max(end, overlay.end), 0),
    );
    const contexts = contextsOf(file, header.compatibilityMask);
    const processors = contexts.slice(0, MOST_PROCESSORS).map((context) => processorView(context, file));
    return {
      index,
      header,
      platform: platformTypeName(header.platformType),
      regions,
      regionCount: all.length,
      layout,
      overlays,
      doubled: pageOverlaps(file, header.compatibilityMask),
      processors,
      processorCount: contexts.length,
      pointers: pointersInto(regions, processors[0]?.registers ?? []),
    };
  });

/** The region that an address lies in. */
export const regionAt = (regions: readonly GuestRegion[], address: number): number =>
  regions.findIndex(({ gpa, end }) => gpa <= address && address < end);

function overlaysOf({ initializations, directives }: IgvmFile, mask: number): Overlay[] {
  const overlays: Overlay[] = [];
  for (const header of [...initializations, ...directives]) {
    if (!('gpa' in header) || !('size' in header) || (header.compatibilityMask & mask) === 0) continue;
    const { gpa, size } = header;
    const label = overlayLabel(header);
    overlays.push({ gpa, end: gpa + size, label });
  }
  return overlays;
}

function overlayLabel(header: { type: string; vtl2Protectable?: boolean }): string {
  switch (header.type) {
    case 'requiredMemory':
      return header.vtl2Protectable === true ? 'required memory, VTL2 protectable' : 'required memory';
    case 'relocatableRegion':
      return 'relocatable';
    case 'pageTableRelocation':
      return 'relocatable page tables';
    default:
      return 'error range';
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

function pointersInto(regions: readonly GuestRegion[], registers: readonly DumpRecord[]): Map<number, string[]> {
  const pointers = new Map<number, string[]>();
  for (const register of registers) {
    const address = registerAddress(register);
    const region = address === undefined ? -1 : regionAt(regions, address);
    if (region === -1) continue;
    pointers.set(region, [...(pointers.get(region) ?? []), fieldsText({ name: register.name ?? '' })]);
  }
  return pointers;
}
