import { type OpenImage, withImage } from '../files/igvm-image';
import { platformTypeName } from '../igvm/dump';
import { type MeasuredPlatform, measuredPlatformOf } from '../igvm/platforms';
import type { IgvmFile, PlatformHeader } from '../igvm/model';
import { type PageOverlap, pageOverlaps } from '../igvm/page-overlaps';
import {
  compareFacts,
  type FactDifference,
  FactList,
  type Facts,
  fileFacts,
  headerFacts,
  registerFacts,
  vpsInSeveralVtls,
} from '../image/guest-facts';
import { regionNames, UkiSections } from '../image/ovmf-facts';
import { DEFAULT_LAUNCH, type Launch, launchName } from '../measurement/launches';
import { type ImageDigest, imageDigests, launchJson } from '../measurement/measure';
import { offsetIn } from '../memory/byte-source';
import { guestRegions, isCommandLine, regionName, textOfRegion } from '../regions/guest-regions';
import { guestPages } from '../regions/guest-pages';
import { type TaggedRange, TagIndex } from '../regions/image-map';
import { comparePages, type GuestPages, PageDigests, type PageDifference } from './compare-pages';

/** An image to compare, with its map if there is one. */
export interface ComparedImage extends Pick<OpenImage, 'file' | 'source'> {
  /** The tagged ranges of each guest, by ascending address. In the order of the platform headers. */
  map?: TaggedRange[][];
}

/** How the guests of one platform differ. All lists are empty if they don't. */
export interface GuestDifference {
  /** Name of the platform in the format. */
  platform: string;
  /** Set if only one file has a guest for the platform. Then there is nothing to compare. */
  onlyIn?: 'a' | 'b';
  headers: FactDifference[];
  registers: FactDifference[];
  pages: (PageDifference & { tags: string[] })[];
  digests: DigestDifference[];
  /** Command lines, from regions that the map files name as such; by the names of the regions. */
  commandLines: FactDifference[];
  /** Memory that a file fills more than once, if any. `pages` compares the first page at each address; `headers` has all layers. */
  overlaps?: { a: PageOverlap[]; b: PageOverlap[] };
}

/** A launch digest that differs. Each side has the digest in upper-case hexadecimal, or the reason why there is none. */
export interface DigestDifference {
  /** The launch, if the digest depends on it. */
  vmm?: Launch['vmm'];
  vcpus?: number;
  cpu?: string;
  kvmMode?: Launch['kvmMode'];
  a: Pick<ImageDigest, 'digest' | 'reason'>;
  b: Pick<ImageDigest, 'digest' | 'reason'>;
}

/** How two images differ. */
export interface ImageDifference {
  /** Whether the files are the same, byte for byte. */
  isSame: boolean;
  file: FactDifference[];
  /** The guests of all platforms of both files; empty when the files are the same. */
  guests: GuestDifference[];
}

/**
 * Compares two images, platform by platform: headers, registers, pages by address, command lines, launch digests. Reads the pages of each
 * once, whatever the number of platforms and launches.
 * @param launches of SEV-SNP guests, in addition to the one that documents endorse
 * @throws IgvmError LAUNCH_INVALID; FILE_CHANGED, FILE_UNREADABLE from the sources
 */
export async function diffImages(
  a: ComparedImage,
  b: ComparedImage,
  launches: readonly Launch[] = [],
): Promise<ImageDifference> {
  const types = [...new Set([...a.file.platforms, ...b.file.platforms].map(({ platformType }) => platformType))];
  const measured = platformsOfBoth(a.file, b.file);
  const passA = await passOver(a.file, measured, launches);
  const passB = await passOver(b.file, measured, launches);
  const isSame = isSameOutsidePages(a, b) && passA.pages.all.equals(passB.pages.all);
  if (isSame) return { isSame, file: [], guests: [] };
  const guests = types.map((type) =>
    diffGuests(platformTypeName(type), guestOf(a, passA, type), guestOf(b, passB, type)),
  );
  return { isSame, file: compareFacts(factsOf(a.file, passA), factsOf(b.file, passB)), guests };
}

/** The platforms that both files have and that have a launch measurement. */
function platformsOfBoth(a: IgvmFile, b: IgvmFile): MeasuredPlatform[] {
  const ofB = new Set(b.platforms.map(measuredPlatformOf));
  const ofA = new Set(a.platforms.map(measuredPlatformOf));
  return [...ofA].filter((platform) => platform !== undefined && ofB.has(platform)) as MeasuredPlatform[];
}

/** The results of the pass over an image's pages. */
interface ImagePass {
  pages: PageDigests;
  uki: UkiSections;
  digests: readonly ImageDigest[];
}

async function passOver(
  file: IgvmFile,
  platforms: readonly MeasuredPlatform[],
  launches: readonly Launch[],
): Promise<ImagePass> {
  const [pages, uki] = [new PageDigests(file.directives), new UkiSections(file)];
  const wanted = [DEFAULT_LAUNCH, ...launches.filter(({ vmm }) => vmm !== DEFAULT_LAUNCH.vmm)];
  const digests = await imageDigests(file, { platforms, launches: wanted, observers: [pages, uki] });
  return { pages, uki, digests };
}

/** Facts about the headers, and about the sections of UKIs. */
const factsOf = (file: IgvmFile, { uki }: ImagePass): Facts => new Map([...fileFacts(file), ...uki.facts()]);

interface ComparedGuest {
  file: IgvmFile;
  platform: PlatformHeader;
  map: readonly TaggedRange[];
  tags: TagIndex;
  pages: PageDigests;
  digests: readonly ImageDigest[];
}

function guestOf(
  { file, map }: ComparedImage,
  { pages, digests }: ImagePass,
  type: PlatformHeader['platformType'],
): ComparedGuest | undefined {
  const index = file.platforms.findIndex(({ platformType }) => platformType === type);
  const platform = file.platforms[index];
  if (platform === undefined) return undefined;
  const ranges = map?.[index] ?? [];
  const measured = measuredPlatformOf(platform);
  return {
    file,
    platform,
    map: ranges,
    tags: new TagIndex(ranges),
    pages,
    digests: digests.filter((each) => each.platform === measured),
  };
}

function diffGuests(platform: string, a: ComparedGuest | undefined, b: ComparedGuest | undefined): GuestDifference {
  const overlaps = { a: overlapsIn(a), b: overlapsIn(b) };
  const difference: GuestDifference = {
    platform,
    headers: [],
    registers: [],
    pages: [],
    digests: [],
    commandLines: [],
    ...(overlaps.a.length + overlaps.b.length === 0 ? {} : { overlaps }),
  };
  if (a === undefined || b === undefined) return { ...difference, onlyIn: a === undefined ? 'b' : 'a' };
  const pages = comparePages(pagesOf(a), pagesOf(b));
  return {
    ...difference,
    headers: compareFacts(headerFacts(a.file, a.platform), headerFacts(b.file, b.platform)),
    registers: compareRegisters(a, b),
    pages: pages.map((page) => ({
      ...page,
      tags: [...new Set([...a.tags.within(page.gpa, page.end), ...b.tags.within(page.gpa, page.end)])],
    })),
    digests: compareDigests(a.digests, b.digests),
    // Without a map file, nothing shows where an image has its command lines.
    commandLines: a.map.length === 0 || b.map.length === 0 ? [] : compareFacts(commandLines(a), commandLines(b)),
  };
}

const pagesOf = ({ file, platform, pages }: ComparedGuest): GuestPages => ({
  spans: guestPages(file, platform.compatibilityMask),
  digests: pages,
});

const overlapsIn = (guest: ComparedGuest | undefined): PageOverlap[] =>
  guest === undefined ? [] : pageOverlaps(guest.file, guest.platform.compatibilityMask);

function compareRegisters(a: ComparedGuest, b: ComparedGuest): FactDifference[] {
  const [maskA, maskB] = [a.platform.compatibilityMask, b.platform.compatibilityMask];
  const severalVtls = new Set([...vpsInSeveralVtls(a.file, maskA), ...vpsInSeveralVtls(b.file, maskB)]);
  return compareFacts(registerFacts(a.file, maskA, severalVtls), registerFacts(b.file, maskB, severalVtls));
}

/** The command lines in a guest's memory, by the names of their regions. */
function commandLines({ file, platform, map }: ComparedGuest): Facts {
  const found = new FactList();
  for (const region of guestRegions(file, platform.compatibilityMask, map)) {
    const text = isCommandLine(region) ? textOfRegion(region) : undefined;
    if (text !== undefined) found.add(regionName(region), text);
  }
  return found.facts;
}

/** The launch digests that differ between two guests of one platform; none if the platform has no launch measurement. */
function compareDigests(a: readonly ImageDigest[], b: readonly ImageDigest[]): DigestDifference[] {
  const nameOf = ({ launch }: ImageDigest): string => (launch === undefined ? '' : launchName(launch));
  const inB = new Map(b.map((each) => [nameOf(each), each]));
  return a.flatMap((digest): DigestDifference[] => {
    const other = inB.get(nameOf(digest));
    if (other === undefined || digest.digest === other.digest) return [];
    return [{ ...withoutUndefined(launchJson(digest.launch)), a: sideOf(digest), b: sideOf(other) }];
  });
}

const sideOf = ({ digest, reason }: ImageDigest): DigestDifference['a'] =>
  digest === undefined ? { reason } : { digest };

const withoutUndefined = (launch: Record<string, unknown>): Omit<DigestDifference, 'a' | 'b'> =>
  Object.fromEntries(Object.entries(launch).filter(([, value]) => value !== undefined));

/** Bytes to compare at once. */
const CHUNK = 2 ** 20;

/** Whether two files agree in everything but page data: in their headers, and so in their layout, and in all other data. */
function isSameOutsidePages(a: ComparedImage, b: ComparedImage): boolean {
  if (a.source.size !== b.source.size) return false;
  const buffers = [new Uint8Array(CHUNK), new Uint8Array(CHUNK)] as const;
  return rangesOutsidePages(a).every(({ start, end }) => {
    for (let at = start; at < end; at += CHUNK) {
      const [partA, partB] = buffers.map((buffer) => buffer.subarray(0, Math.min(CHUNK, end - at))) as [
        Uint8Array,
        Uint8Array,
      ];
      a.source.read(at, partA);
      b.source.read(at, partB);
      if (Buffer.compare(partA, partB) !== 0) return false;
    }
    return true;
  });
}

/** The parts of a file that are not the content of page data, in bytes; `end` is exclusive. */
function rangesOutsidePages({ file, source }: ComparedImage): { start: number; end: number }[] {
  const contents = file.directives.flatMap((directive) => {
    const start = directive.type === 'pageData' ? offsetIn(source, directive.content) : undefined;
    return directive.type !== 'pageData' || start === undefined ? [] : [{ start, end: start + directive.content.size }];
  });
  const ranges: { start: number; end: number }[] = [];
  let end = 0;
  for (const content of contents.sort((one, other) => one.start - other.start)) {
    if (content.start > end) ranges.push({ start: end, end: content.start });
    end = Math.max(end, content.end);
  }
  if (end < source.size) ranges.push({ start: end, end: source.size });
  return ranges;
}

/**
 * Compares two images on disk. The map files beside them (`IMAGE.map`), if any, name the regions of pages.
 * @param launches of SEV-SNP guests to compare, in addition to the one that documents endorse
 * @throws IgvmError FILE_UNREADABLE, FILE_CHANGED, IGVM_MALFORMED, IGVM_UNSUPPORTED, IGVM_INVALID with the file's path
 */
export const diffFiles = (a: string, b: string, launches: readonly Launch[] = []): Promise<ImageDifference> =>
  withImage(a, (imageA) =>
    withImage(b, (imageB) =>
      diffImages(
        { ...imageA, map: regionNames(a, imageA.file) },
        { ...imageB, map: regionNames(b, imageB.file) },
        launches,
      ),
    ),
  );
