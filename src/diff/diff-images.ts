import { unreachable } from '../errors/igvm-error';
import { type OpenImage, withImage } from '../files/igvm-image';
import { platformTypeName } from '../igvm/dump';
import { MEASURED_PLATFORMS, type MeasuredPlatform, measuredPlatformOf } from '../igvm/isolation';
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
import { ukiFacts } from '../image/uki-facts';
import { digestHex, type Launch, launchName } from '../measurement/launches';
import { type ImageDigest, imageDigests, launchJson, measureLaunches } from '../measurement/measure';
import type { ByteSource } from '../memory/byte-source';
import { guestPages, guestRegions, regionName } from '../regions/guest-regions';
import { regionNames } from '../image/region-names';
import { type TaggedRange, TagIndex } from '../regions/image-map';
import { isCommandLine, textOfRegion } from '../regions/region-text';
import { comparePages, type PageDifference } from './compare-pages';

/** An image to compare, with its map where there is one. */
export interface ComparedImage extends Pick<OpenImage, 'file' | 'source'> {
  /** Tagged ranges a guest, in the order of the platform headers; each guest's by ascending address. */
  map?: TaggedRange[][];
}

/** How the guests of one platform differ. Empty lists: they don't. */
export interface GuestDifference {
  /** Name of the platform in the format. */
  platform: string;
  /** The only file that has a guest for the platform; then there is nothing to compare. */
  onlyIn?: 'a' | 'b';
  headers: FactDifference[];
  registers: FactDifference[];
  pages: (PageDifference & { tags: string[] })[];
  digests: DigestDifference[];
  /** Command lines, of regions that the map files name so; by the names of the regions. */
  commandLines: FactDifference[];
  /** Memory that a file fills more than once, if any: `pages` compares the first page of each address, `headers` has all layers. */
  overlaps?: { a: PageOverlap[]; b: PageOverlap[] };
}

/** A launch digest that differs. Each side has the digest in upper-case hexadecimal, or the reason why it has none. */
export interface DigestDifference {
  /** The launch, where digests depend on what launches the guest. */
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
  /** Of all platforms of both files; empty when the files are the same. */
  guests: GuestDifference[];
}

/**
 * Compares two images, platform by platform: headers, registers, pages by address, command lines, launch digests.
 * @param launches of SEV-SNP guests, besides the one that documents endorse
 * @throws IgvmError FILE_CHANGED, FILE_UNREADABLE from the sources
 */
export async function diffImages(
  a: ComparedImage,
  b: ComparedImage,
  launches: readonly Launch[] = [],
): Promise<ImageDifference> {
  const isSame = isSameBytes(a.source, b.source);
  if (isSame) return { isSame, file: [], guests: [] };
  const types = [...new Set([...a.file.platforms, ...b.file.platforms].map(({ platformType }) => platformType))];
  const guests: GuestDifference[] = [];
  for (const type of types) {
    const indexA = a.file.platforms.findIndex(({ platformType }) => platformType === type);
    const indexB = b.file.platforms.findIndex(({ platformType }) => platformType === type);
    guests.push(await diffGuests(platformTypeName(type), guestOf(a, indexA), guestOf(b, indexB), launches));
  }
  return { isSame, file: compareFacts(factsOf(a.file), factsOf(b.file)), guests };
}

/** Headers, and what UKIs have in their sections. */
const factsOf = (file: IgvmFile): Facts => new Map([...fileFacts(file), ...ukiFacts(file)]);

interface ComparedGuest {
  file: IgvmFile;
  platform: PlatformHeader;
  map: readonly TaggedRange[];
  tags: TagIndex;
}

function guestOf({ file, map }: ComparedImage, index: number): ComparedGuest | undefined {
  const platform = file.platforms[index];
  const ranges = map?.[index] ?? [];
  return platform && { file, platform, map: ranges, tags: new TagIndex(ranges) };
}

async function diffGuests(
  platform: string,
  a: ComparedGuest | undefined,
  b: ComparedGuest | undefined,
  launches: readonly Launch[],
): Promise<GuestDifference> {
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
  const [maskA, maskB] = [a.platform.compatibilityMask, b.platform.compatibilityMask];
  const pages = comparePages(guestPages(a.file, maskA), guestPages(b.file, maskB));
  return {
    ...difference,
    headers: compareFacts(headerFacts(a.file, a.platform), headerFacts(b.file, b.platform)),
    registers: compareRegisters(a, b),
    pages: pages.map((page) => ({
      ...page,
      tags: [...new Set([...a.tags.within(page.gpa, page.end), ...b.tags.within(page.gpa, page.end)])],
    })),
    digests: await compareDigests(a, b, launches),
    commandLines: compareFacts(commandLines(a), commandLines(b)),
  };
}

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

/** The digests of two guests of one platform, where they differ; none when the platform has no launch measurement. */
async function compareDigests(
  a: ComparedGuest,
  b: ComparedGuest,
  launches: readonly Launch[],
): Promise<DigestDifference[]> {
  const platform = measuredPlatformOf(a.platform);
  if (platform === undefined) return [];
  const others = MEASURED_PLATFORMS[platform].dependsOnVmm ? launches : [];
  const [digestsA, digestsB] = [await digestsOf(a.file, platform, others), await digestsOf(b.file, platform, others)];
  return [...digestsA].flatMap(([name, { launch, ...side }]): DigestDifference[] => {
    const other = digestsB.get(name);
    if (side.digest === other?.digest) return [];
    return [{ ...launch, a: side, b: { digest: other?.digest, reason: other?.reason } }];
  });
}

type LaunchedSide = DigestDifference['a'] & { launch: Omit<DigestDifference, 'a' | 'b'> };

/** By the names of launches. */
async function digestsOf(
  file: IgvmFile,
  platform: MeasuredPlatform,
  launches: readonly Launch[],
): Promise<Map<string, LaunchedSide>> {
  const [endorsed] = await imageDigests(file, [platform]);
  const { vmm, digest, reason } = endorsed ?? unreachable('a platform without digest and reason');
  const found = new Map<string, LaunchedSide>([
    [vmm ?? '', { launch: vmm === undefined ? {} : { vmm }, digest, reason }],
  ]);
  const others = launches.filter((launch) => launch.vmm !== vmm);
  if (others.length === 0 || digest === undefined) return found;
  const report = await measureLaunches(file, { platforms: [platform], launches: others });
  for (const launch of others) {
    const measured = report.measurements.find((each) => each.launch === launch);
    const refusal = report.refusals.find((each) => each.launch === launch);
    const side = measured === undefined ? { reason: refusal?.reason } : { digest: digestHex(measured.digest) };
    found.set(launchName(launch), { launch: withoutUndefined(launchJson(launch)), ...side });
  }
  return found;
}

const withoutUndefined = (launch: Record<string, unknown>): LaunchedSide['launch'] =>
  Object.fromEntries(Object.entries(launch).filter(([, value]) => value !== undefined));

function isSameBytes(a: ByteSource, b: ByteSource): boolean {
  if (a.size !== b.size) return false;
  const [chunkA, chunkB] = [new Uint8Array(2 ** 20), new Uint8Array(2 ** 20)];
  for (let at = 0; at < a.size; at += chunkA.length) {
    const size = Math.min(chunkA.length, a.size - at);
    const [partA, partB] = [chunkA.subarray(0, size), chunkB.subarray(0, size)];
    a.read(at, partA);
    b.read(at, partB);
    if (Buffer.compare(partA, partB) !== 0) return false;
  }
  return true;
}

/**
 * Compares two images on disk. The map files beside them (`IMAGE.map`), where they are, name the regions of pages.
 * @param launches of SEV-SNP guests whose digests are compared, besides the one that documents endorse
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
